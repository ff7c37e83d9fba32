package sip

import (
	"slices"
	"testing"
)

func TestParseAddress(t *testing.T) {
	for _, c := range []struct{ in, display, uri, tag string }{
		{`"Alice, \"A\" <x>" <sip:a@b;transport=tcp>;tag=1`, `"Alice, \"A\" <x>"`, "sip:a@b;transport=tcp", "1"},
		{`sip:a@b;tag=2`, "", "sip:a@b", "2"},
		{`urn:service:sos`, "", "urn:service:sos", ""},
		{`<urn:service:sos> ; TAG = x`, "", "urn:service:sos", "x"},
		{`Bob <sip:b@c>`, "Bob", "sip:b@c", ""},
		{`<sip:b@c`, "", "sip:b@c", ""},
		{``, "", "", ""},
	} {
		a := parseAddress(c.in)
		if a.Display != c.display || a.URI != c.uri || tag(c.in) != c.tag {
			t.Errorf("%q: display %q, URI %q, tag %q", c.in, a.Display, a.URI, tag(c.in))
		}
	}
	if got := parseAddress(`"A" <sip:a@b>;x=1;tag=2;y`).without("tag").String(); got != `"A" <sip:a@b>;x=1;y` {
		t.Errorf("without tag: %s", got)
	}
}

func TestListSplitsOnlyWhereItMay(t *testing.T) {
	got := list([]string{`<sip:a@b;x=1,2>;y="p,q", "Doe, J" <sip:c@d>`, "", " sip:e@f "})
	want := []string{`<sip:a@b;x=1,2>;y="p,q"`, `"Doe, J" <sip:c@d>`, "sip:e@f"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzAddress(f *testing.F) {
	f.Add(`"a\"b" <sip:x>;tag=1,"`)
	f.Fuzz(func(t *testing.T, s string) {
		parseAddress(s).without("tag")
		tag(s)
		for _, v := range list([]string{s}) {
			if v == "" {
				t.Fatal("an empty value")
			}
		}
	})
}
