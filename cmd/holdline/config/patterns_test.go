package config

import (
	"strings"
	"testing"

	"holdline/configs"
)

func TestPatterns(t *testing.T) {
	sample := string(configs.Holdline)
	for value, want := range map[string]string{
		"0.5": "", "12": "", "0": "must be from 0.01 to 100", "-1": "must be from", "1000": "must be from", ".nan": "must be a number", "nan": "must be from",
		"often": "false_alarms_per_month",
	} {
		src := strings.Replace(sample, "false_alarms_per_month: 1 ", "false_alarms_per_month: "+value+" ", 1)
		src = strings.Replace(src, "false_alarms_per_month: 1\n", "false_alarms_per_month: "+value+"\n", 1)
		_, err := Parse("holdline.yaml", []byte(src))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", value, err)
		}
	}
}
