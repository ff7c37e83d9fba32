package eido

import (
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdline/policy"
)

func sample(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestPublishedShapes reads documents of the two shapes that have been
// published: that of STA-021.1 with references, and that of its drafts.
func TestPublishedShapes(t *testing.T) {
	tests := map[string]Document{
		"transfer.json": {
			Calls:     []string{"urn:emergency:uid:callid:k3v90a11z2:bcf.example"},
			Incidents: []string{"urn:emergency:uid:incidentid:k3v90a11z2:bcf.example"},
			Issuer:    "idx.psap.example", Location: "12 Canal Street, New Orleans, LA", Callback: "+15045550123",
			Incident: "urn:emergency:uid:incidentid:k3v90a11z2:bcf.example",
		},
		"dispatched.json": {
			Incidents: []string{"urn:emergency:uid:incidentid:77:psap.example"},
			Issuer:    "psap.example", Nature: "STRUCTURE FIRE; TWO ALARMS", Location: "29.951065, -90.071533",
			Incident: "2026-1187", Dispatched: "fire.example",
		},
	}
	for name, want := range tests {
		docs, err := Parse([]byte(sample(t, name)))
		if err != nil || len(docs) != 1 {
			t.Fatalf("%s: %d documents, %v", name, len(docs), err)
		}
		if d := cmp.Diff(want, docs[0]); d != "" {
			t.Errorf("%s: -want +got:\n%s", name, d)
		}
	}
}

// marked writes marks as "field=value", in the order of the fields.
func marked(m map[policy.Field]string) string {
	var out []string
	for _, f := range policy.Fields() {
		if v, ok := m[f]; ok {
			out = append(out, string(f)+"="+v)
		}
	}
	return strings.Join(out, "; ")
}

func TestMarks(t *testing.T) {
	const (
		medical = `"incidentComponent":[{"incidentTypeCommonRegistryText":"Medical"}]`
		where   = `"locationComponent":[{"locationByReferenceUrl":"https://lis.example/7"}]`
		whereIs = "https://lis.example/7"
	)
	tests := map[string]struct {
		doc, want string
		complete  bool
	}{
		"a call that has just come in":         {sample(t, "transfer.json"), "", false},
		"a type and a place":                   {"{" + medical + "," + where + "}", "location=" + whereIs + "; nature=Medical; incident=true", true},
		"a type alone":                         {"{" + medical + "}", "nature=Medical", false},
		"a place alone":                        {"{" + where + "}", "", false},
		"a type that nobody knows yet":         {`{"incidentComponent":{"incidentTypeCommonRegistryText":"Unknown"},` + where + "}", "", false},
		"a dispatch":                           {`{"dispatchComponent":[{"agencyReference":{"$ref":"ems.example"}}]}`, "incident=true; dispatched=ems.example", true},
		"a dispatch of somebody unnamed":       {`{"dispatchComponent":{"lastUpdateTimeStamp":"2026-03-01T18:40:04Z"}}`, "incident=true; dispatched=true", true},
		"an empty list of dispatches":          {`{"dispatchComponent":[],` + medical + "}", "nature=Medical", false},
		"a dispatch without anything in it":    {`{"dispatchComponent":[{}],"callComponent":[{"$id":"x"}]}`, "", false},
		"a disposition by code":                {`{"incidentComponent":[{"dispositionComponent":[{"dispositionCommonRegistryCode":"prank"}]}]}`, "disposition=prank", true},
		"a disposition that is none yet":       {`{"incidentComponent":{"disposition":[{"dispositionCommonRegistryCode":"Pending"}]}}`, "", false},
		"one that is none, and one that is":    {`{"incidentComponent":{"disposition":[{"dispositionCommonRegistryCode":"unknown"},{"dispositionText":"duplicate"}]}}`, "disposition=duplicate", true},
		"a disposition in words":               {`{"incidentComponent":{"disposition":[{"dispositionDescriptionText":"pocket dial"}]}}`, "disposition=pocket dial", true},
		"a component that is a single object":  {`{"incidentComponent":{"incidentTypeInternalText":"Fire","internalIncidentId":"26-1"},"locationComponent":{"address":"12 Canal"}}`, "location=12 Canal; nature=Fire; incident=26-1", true},
		"other names for the same":             {`{"nc:IncidentInformationType":{"nc:IncidentTypeCommonRegistryText":"Fire"},"LocationInformationComponent":[{"latitude":29.95,"longitude":-90.07}]}`, "location=29.95, -90.07; nature=Fire; incident=true", true},
		"flat":                                 {`{"incidentTypeCommonRegistryText":"Fire","locationByValue":"12 Canal Street"}`, "location=12 Canal Street; nature=Fire; incident=true", true},
		"in an envelope":                       {`{"event":{"subscriptionId":"1","notification":[{"eido":{` + medical + "}}]}}", "nature=Medical", false},
		"as text in a log event":               {`{"logEventType":"EidoLogEvent","body":"{\"incidentComponent\":{\"incidentTypeInternalCode\":\"10-50\"}}"}`, "nature=10-50", false},
		"signed":                               {`{"protected":"e30","payload":"` + base64.RawURLEncoding.EncodeToString([]byte("{"+medical+"}")) + `","signature":""}`, "nature=Medical", false},
		"the number that was corrected":        {`{` + medical + `,"callbackComponent":[{"callBackInformationUri":["tel:1"],"updatedCbn":{"uri":"tel:+15045550199"}}]}`, "callback=+15045550199; nature=Medical", false},
		"the place that the incident names":    {`{"incidentComponent":[{"incidentTypeCommonRegistryText":"Fire","locationReference":[{"$ref":"b"}]}],"locationComponent":[{"$id":"a","address":"the tower"},{"$id":"b","address":"12 Canal"}]}`, "location=12 Canal; nature=Fire; incident=true", true},
		"a place before that of the routing":   {`{` + medical + `,"locationComponent":[{"locationTypeDescriptionRegistryText":"RoutingLocation","address":"the tower"},{"address":"12 Canal"}]}`, "location=12 Canal; nature=Medical; incident=true", true},
		"a place that cannot be read":          {`{` + medical + `,"locationComponent":[{"locationByValue":"<presence><x/></presence>"}]}`, "location=given by value; nature=Medical; incident=true", true},
		"lists and nulls where there are none": {`{"incidentComponent":[null,7,{"incidentTypeCommonRegistryText":["","Fire"]}],"locationComponent":null}`, "nature=Fire", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			docs, err := Parse([]byte(tc.doc))
			if err != nil || len(docs) != 1 {
				t.Fatalf("%d documents, %v", len(docs), err)
			}
			if got := marked(docs[0].Marks()); got != tc.want || docs[0].Complete() != tc.complete {
				t.Errorf("got  %q, complete %v\nwant %q, complete %v", got, docs[0].Complete(), tc.want, tc.complete)
			}
		})
	}
}

// TestIdentifiers: a document is joined by its own call and incident, and never
// by an incident that it is only linked to.
func TestIdentifiers(t *testing.T) {
	docs, err := Parse([]byte(`[{
		"incidentTrackingIdentifier": "urn:emergency:uid:incidentid:1:a.example",
		"incidentComponent": {"$id": "urn:emergency:uid:incidentid:1:a.example", "incidentTrackingIdentifier": "urn:nena:uid:incidentid:old:a.example"},
		"callComponent": [
			{"$id": "call-0", "callIdentifier": "urn:emergency:uid:callid:1:a.example", "callIdSip": "7@a.example"},
			{"$id": "urn:emergency:uid:callid:2:a.example"}],
		"linkComponent": [{"linkedIncidentIdentifier": "urn:emergency:uid:incidentid:9:a.example"}],
		"mergeComponent": {"incidentTrackingIdentifier": "urn:emergency:uid:incidentid:8:a.example"}
	}]`))
	if err != nil || len(docs) != 1 {
		t.Fatalf("%d documents, %v", len(docs), err)
	}
	want := []string{
		"urn:emergency:uid:callid:1:a.example", "7@a.example", "urn:emergency:uid:callid:2:a.example",
		"urn:emergency:uid:incidentid:1:a.example", "urn:nena:uid:incidentid:old:a.example",
	}
	if d := cmp.Diff(want, docs[0].Identifiers()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

func TestWhatIsNoDocument(t *testing.T) {
	for _, text := range []string{`{}`, `[]`, `7`, `"x"`, `{"location":"12 Canal"}`, `{"payload":"!","signature":"x"}`} {
		if docs, err := Parse([]byte(text)); !errors.Is(err, ErrNone) {
			t.Errorf("%s: %+v, %v", text, docs, err)
		}
	}
	for _, text := range []string{``, `{`, `incident`} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "not JSON") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzParse holds that nothing that is sent makes the program fail, that a
// document without a type, a dispatch or a disposition marks nothing, and that
// a value fits into a record.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"transfer.json", "dispatched.json"} {
		f.Add([]byte(sample(f, name)))
	}
	f.Add([]byte(`{"incidentTypeCommonRegistryText":"Fire","locationByValue":"<a>12</a"}`))
	f.Add([]byte(`{"protected":"","payload":"eyJlaWRvVmVyc2lvbiI6MX0","signature":""}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Parse(data)
		if (err == nil) != (len(docs) > 0) {
			t.Fatalf("%d documents and %v", len(docs), err)
		}
		for _, d := range docs {
			m := d.Marks()
			if _, incident := m[policy.Incident]; incident && !d.Complete() {
				t.Errorf("an incident is marked by what is not complete: %+v", d)
			}
			for field, v := range m {
				if v == "" || len(v) > 4*maxText {
					t.Errorf("%s is %q", field, v)
				}
			}
		}
	})
}
