package eido

import (
	"slices"
	"strings"
)

// read takes from a document what there is.
func read(o object) Document {
	incidents := o.parts("incident")
	if o.text("incidenttypecommonregistrytext", "incidenttypeinternaltext", "incidenttypeinternalcode") != "" {
		incidents = append(incidents, o) // a flat document is its own component
	}
	d := Document{Issuer: o.text("issuingelementidentification", "sendingsystemidentifier", "owningagencyidentifier")}
	d.identify(o, incidents)
	for _, i := range incidents {
		d.Nature = first(d.Nature, incidentType(i))
		d.Disposition = first(d.Disposition, disposition(i.parts("disposition")))
		d.Incident = first(d.Incident, i.text("internalincidentid"))
	}
	d.Incident = first(d.Incident, o.text("internalincidentid"))
	if d.Incident == "" && len(d.Incidents) > 0 {
		d.Incident = d.Incidents[0]
	}
	d.Disposition = first(d.Disposition, disposition(o.parts("disposition")))
	d.Dispatched = dispatched(o, incidents)
	d.Location = location(o, incidents)
	d.Callback = callback(o)
	return d
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// identify collects the identifiers that calls are joined by. Those of linked
// and merged incidents are not among them: they are about somebody else.
func (d *Document) identify(o object, incidents []object) {
	addTo := func(list *[]string, kind string, values []string) {
		for _, v := range values {
			if (kind == "" || strings.Contains(strings.ToLower(v), kind)) && !slices.Contains(*list, v) {
				*list = append(*list, v)
			}
		}
	}
	const call, incident = ":uid:callid:", ":uid:incidentid:"
	for _, i := range append([]object{o}, incidents...) {
		addTo(&d.Incidents, incident, i.texts("id", "incidenttrackingidentifier", "incidentidentifier", "incidentid"))
	}
	for _, c := range append([]object{o}, o.parts("call")...) {
		addTo(&d.Calls, call, c.texts("id", "callidentifier", "emergencycallidentifier", "callid"))
		addTo(&d.Calls, "", c.texts("callidsip", "sipcallid", "sipcallidentifier"))
	}
	for _, p := range o.parts("person") {
		addTo(&d.Calls, call, p.texts("callidentifier"))
	}
}

// incidentType is what has happened, in the words of the centre where there are
// any. A type that says that nobody knows yet is none.
func incidentType(i object) string {
	for _, name := range []string{"incidenttypeinternaltext", "incidenttypecommonregistrytext", "incidenttypeinternalcode", "incidenttype", "incidenttypetext"} {
		if t := i.text(name); said(t) {
			return t
		}
	}
	return ""
}

// said tells whether a word says something: systems fill what nobody knows yet
// with words for that.
func said(t string) bool {
	switch strings.ToLower(t) {
	case "", "unknown", "undetermined", "none", "n/a", "na", "tbd", "pending", "open", "active", "in progress", "not determined", "null", "string":
		return false
	}
	return true
}

// disposition is how an incident was closed: the common code, by which rules
// can match, or the centre's own words.
func disposition(list []object) string {
	for _, d := range list {
		for _, name := range []string{"dispositioncommonregistrycode", "dispositioncategorytext", "dispositiondescriptiontext", "dispositiontext", "code", "text"} {
			if t := d.text(name); said(t) {
				return t
			}
		}
	}
	return ""
}

// dispatched says who was sent; "true" where somebody was and nobody is named.
func dispatched(o object, incidents []object) string {
	list := o.parts("dispatch")
	for _, i := range incidents {
		list = append(list, i.parts("dispatch")...)
	}
	who := ""
	for _, d := range list {
		who = first(who, d.text("organizationidentification", "agencyreference", "emergencyresourcereference", "agencyidentifier"))
	}
	if len(list) > 0 && who == "" {
		return "true"
	}
	return who
}

// callback is how the caller can be reached: the number that a call taker
// corrected, or else the one that came with the call.
func callback(o object) string {
	var uris []string
	for _, c := range o.parts("callback") {
		if s := c.text("updatedcbn", "updatedcallbacknumber"); s != "" {
			return bare(s)
		}
		uris = append(uris, c.texts("callbackinformationuri", "callbacknumber", "callbackuri")...)
	}
	for _, c := range append(o.parts("person"), o.parts("call")...) {
		uris = append(uris, c.texts("callbacknumber", "telephonenumber", "phonenumber", "callbackinformationuri")...)
	}
	for _, u := range uris {
		if strings.HasPrefix(strings.ToLower(u), "tel:") {
			return bare(u)
		}
	}
	if len(uris) > 0 {
		return bare(uris[0])
	}
	return ""
}

// bare is a number without the scheme in front of it.
func bare(uri string) string {
	if len(uri) > 4 && strings.EqualFold(uri[:4], "tel:") {
		return uri[4:]
	}
	return uri
}
