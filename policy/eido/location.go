package eido

import (
	"encoding/xml"
	"regexp"
	"slices"
	"strings"
)

// location is where the incident is. The location that the incident refers to
// comes first, then one that somebody established, then the one that the call
// was routed by.
func location(o object, incidents []object) string {
	var wanted []string
	for _, i := range incidents {
		wanted = append(wanted, i.texts("locationreference")...)
	}
	best, rank := "", -1
	try := func(l object, inside bool) {
		r := 1
		switch kind := strings.ToLower(l.text("locationtypedescriptionregistrytext")); {
		case inside, slices.Contains(wanted, l.text("id", "componentidentifier")):
			r = 2
		case kind == "routinglocation" || kind == "caller":
			r = 0
		}
		if where := place(l); where != "" && r > rank {
			best, rank = where, r
		}
	}
	for _, l := range o.parts("location") {
		try(l, false)
	}
	for _, i := range incidents {
		for _, l := range append(i.parts("location"), i) {
			try(l, true)
		}
	}
	return best
}

// place is one location in words.
func place(l object) string {
	switch v := l["locationbyvalue"].(type) {
	case string:
		if strings.Contains(v, "<") {
			return presence(v)
		}
		return text(v, 0)
	case map[string]any:
		if s := civic(named(v)); s != "" {
			return s
		}
	}
	for _, name := range []string{"civicaddress", "address", "location"} {
		if m, ok := l[name].(map[string]any); ok {
			if s := civic(named(m)); s != "" {
				return s
			}
		}
	}
	if s := l.text("addresstext", "fulladdresstext", "locationtext", "address", "locationbyreferenceurl", "locationbyreference"); s != "" {
		return s
	}
	return point(l)
}

// point is a pair of coordinates.
func point(l object) string {
	lat, lon := l.text("latitude", "lat"), l.text("longitude", "lon", "lng")
	if lat == "" || lon == "" {
		return ""
	}
	return lat + ", " + lon
}

// civic is a civic address (RFC 5139) in the order in which it is spoken.
func civic(a object) string {
	join := func(sep string, names ...string) string {
		var words []string
		for _, n := range names {
			if s := a.text(n); s != "" {
				words = append(words, s)
			}
		}
		return strings.Join(words, sep)
	}
	street := join(" ", "hno", "hns", "prm", "prd", "rd", "sts", "pod", "pom")
	var out []string
	for _, s := range []string{street, join(" ", "bld", "unit", "flr", "room", "loc"), a.text("lmk"), join(", ", "a3", "a1")} {
		if s != "" {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return first(a.text("addresstext", "fulladdresstext", "streetfulltext", "street"), point(a))
	}
	return strings.Join(out, ", ")
}

// position finds the coordinates in a PIDF-LO that is no well-formed XML, as
// the published sample is not.
var position = regexp.MustCompile(`<(?:\w+:)?pos>\s*(-?[0-9.]+)[\s,]+(-?[0-9.]+)`)

// presence is a location by value (PIDF-LO, RFC 5491): its civic address, or
// its coordinates. One that cannot be read is a location all the same.
func presence(pidf string) string {
	address, element := map[string]any{}, ""
	d := xml.NewDecoder(strings.NewReader(pidf))
	d.Strict = false
	inside := 0
	for {
		token, err := d.Token()
		if err != nil {
			break
		}
		switch t := token.(type) {
		case xml.StartElement:
			element = t.Name.Local
			if inside > 0 || strings.EqualFold(element, "civicAddress") {
				inside++
			}
		case xml.CharData:
			if s := strings.TrimSpace(string(t)); inside > 1 && s != "" {
				address[element] = s
			}
		case xml.EndElement:
			inside = max(inside-1, 0)
			element = ""
		}
	}
	if s := civic(named(address)); s != "" {
		return s
	}
	if m := position.FindStringSubmatch(pidf); m != nil {
		return m[1] + ", " + m[2]
	}
	return "given by value"
}
