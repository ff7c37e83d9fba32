// Package eido reads Emergency Incident Data Objects (NENA-STA-021.1) for what
// they say of a call's intake: what has happened, where, who was sent, how it
// ended, and which calls it is about.
//
// It is liberal, because published shapes differ: names in any case, with or
// without a namespace, components as lists or as single objects, documents
// alone, in lists, in envelopes, in a JSON Web Signature. What it does not know
// it passes over.
package eido

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"holdline/policy"
)

// MediaType is the registered type of a document (NENA-STA-024.1).
const MediaType = "application/emergency.eido+json"

// Document is what one EIDO says. Fields that it does not have are empty.
type Document struct {
	Calls       []string // identifiers of the calls it is about: emergency call identifiers, SIP Call-IDs
	Incidents   []string // incident tracking identifiers
	Issuer      string   // the element that issued it
	Nature      string   // incident type
	Location    string   // of the incident, in words
	Callback    string   // number or URI of the caller
	Incident    string   // how the centre calls the incident
	Dispatched  string   // who was sent, or "true"
	Disposition string   // how it ended: the common code, or words
}

// ErrNone says that JSON holds no EIDO.
var ErrNone = errors.New("there is no EIDO in it: no object has a component like incidentComponent or callComponent")

// Parse reads every document in data. The error says why there is none.
func Parse(data []byte) ([]Document, error) {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	var docs []Document
	for _, o := range find(v, 0) {
		docs = append(docs, read(o))
	}
	if len(docs) == 0 {
		return nil, ErrNone
	}
	return docs, nil
}

// Complete tells whether the document proves an intake: there is an incident
// type and a location, or somebody was dispatched, or a disposition was given.
func (d Document) Complete() bool {
	return d.Nature != "" && d.Location != "" || d.Dispatched != "" || d.Disposition != ""
}

// Marks are the intake fields that the document establishes. One that carries
// only the data of a call establishes nothing: call-handling systems issue such
// a document by themselves when a call comes in, with the location and the
// number that came with it, before anybody has answered.
func (d Document) Marks() map[policy.Field]string {
	if d.Nature == "" && d.Dispatched == "" && d.Disposition == "" {
		return nil
	}
	m := map[policy.Field]string{}
	set := func(f policy.Field, value string) {
		if value != "" {
			m[f] = value
		}
	}
	set(policy.Nature, d.Nature)
	set(policy.Location, d.Location)
	set(policy.Callback, d.Callback)
	set(policy.Dispatched, d.Dispatched)
	set(policy.Disposition, d.Disposition)
	if d.Dispatched != "" || d.Nature != "" && d.Location != "" {
		m[policy.Incident] = "true"
		set(policy.Incident, d.Incident)
	}
	return m
}

// Identifiers are all that the document may be joined to a call by.
func (d Document) Identifiers() []string {
	return append(append([]string(nil), d.Calls...), d.Incidents...)
}

// maxNesting is how deep in envelopes documents are looked for.
const maxNesting = 6

// find returns the objects in v that are documents.
func find(v any, depth int) []object {
	if depth > maxNesting {
		return nil
	}
	var found []object
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			found = append(found, find(e, depth+1)...)
		}
	case map[string]any:
		o := named(v)
		if o.isDocument() {
			return []object{o}
		}
		if payload := o.signed(); payload != nil {
			return find(payload, depth+1)
		}
		for _, key := range o.keys() {
			found = append(found, find(o[key], depth+1)...)
		}
	case string: // as in the body of an i3 EidoLogEvent
		if text := strings.TrimSpace(v); strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
			var inner any
			if json.Unmarshal([]byte(text), &inner) == nil {
				return find(inner, depth+1)
			}
		}
	}
	return found
}

// signed is the payload of a flattened JSON Web Signature (RFC 7515 section
// 7.2.2); nil when the object is none. Whoever sent it is trusted or not by
// the way it came, the signature inside is not looked at.
func (o object) signed() any {
	payload, ok := o["payload"].(string)
	_, isSigned := o["protected"]
	if _, has := o["signature"]; !ok || !has && !isSigned {
		return nil
	}
	text, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(payload, "="))
	if err != nil {
		return nil
	}
	var v any
	if json.Unmarshal(text, &v) != nil {
		return nil
	}
	return v
}
