package console

import (
	"strings"
	"time"

	"holdline/policy"
	"holdline/policy/ledger"
	"holdline/sip"
)

// party is somebody on the line as people call them: by name and number, where
// the message has From: "Dana" <sip:5045550100@gateway.example>;tag=1.
type party struct{ Name, Number string }

// partyOf reads a name-addr or a URI (RFC 3261 section 20.10). What is neither
// is shown as it came: nothing of a caller may be lost for its form.
func partyOf(from string) party {
	name, uri := ledger.URIOf(from)
	if quoted, ok := strings.CutPrefix(name, `"`); ok {
		name = strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(strings.TrimSuffix(quoted, `"`))
	}
	p := party{Name: name, Number: numberOf(uri)}
	if p.Number == "" {
		p.Number = strings.TrimSpace(from)
	}
	if p.Name == "" || grouped(p.Name) == p.Number {
		p = party{Name: p.Number}
	}
	return p
}

// numberOf is the number of a tel or sip URI, or the whole address where its
// user is no number.
func numberOf(uri string) string {
	for _, scheme := range []string{"sip:", "sips:", "tel:"} {
		if len(uri) > len(scheme) && strings.EqualFold(uri[:len(scheme)], scheme) {
			uri = uri[len(scheme):]
			break
		}
	}
	uri, _, _ = strings.Cut(uri, ";")
	user, _, _ := strings.Cut(uri, "@")
	if n := grouped(user); n != user {
		return n
	}
	if strings.Trim(user, "+0123456789") == "" && user != "" {
		return user
	}
	return uri
}

// grouped writes a number of the North American plan as people read it out;
// anything else is returned as it is.
func grouped(number string) string {
	n := strings.TrimPrefix(number, "+")
	if strings.Trim(n, "0123456789") != "" {
		return number
	}
	if len(n) == 11 && n[0] == '1' {
		n = n[1:]
	}
	if len(n) != 10 {
		return number
	}
	return n[:3] + "-" + n[3:6] + "-" + n[6:]
}

// deskName is a position or a target of the queue in short.
func deskName(target string) string {
	name, ok := strings.CutPrefix(target, "sip:")
	if !ok {
		return target
	}
	name, _, _ = strings.Cut(name, "@")
	return name
}

// stateWords says how a call is.
func stateWords(state string) string {
	switch sip.State(state) {
	case sip.Offering:
		return "ringing"
	case sip.Bridged:
		return "connected"
	case sip.Relieving:
		return "being handed over"
	case sip.Releasing:
		return "being released"
	case sip.Waiting:
		return "alone"
	default:
		return state
	}
}

// chip is one thing that intake should hold.
type chip struct {
	Name, Value string
	Set         bool
}

// intakeChips are the fields of an intake that are marked, and those of the
// usual three that still are not.
func intakeChips(call sip.CallView) (chips []chip) {
	for _, f := range policy.Fields() {
		m, set := call.Intake[f]
		switch {
		case set && m.Value == "true":
			chips = append(chips, chip{Name: string(f), Set: true})
		case set:
			chips = append(chips, chip{string(f), m.Value, true})
		case !call.Complete && (f == policy.Location || f == policy.Callback || f == policy.Nature):
			chips = append(chips, chip{Name: string(f)})
		}
	}
	return chips
}

// leftBy is the position that left the caller last; "" where none did.
func leftBy(call sip.CallView) string {
	if len(call.Verdicts) == 0 {
		return ""
	}
	return call.Verdicts[len(call.Verdicts)-1].Position
}

// metersOf are the meters of a call as a page without the script shows them.
func metersOf(call sip.CallView) (all []Meter) {
	now := time.Now()
	for _, l := range call.Legs {
		if m, ok := meterOf(call.ID, l, nil, now); ok && l.State == "confirmed" {
			all = append(all, m)
		}
	}
	return all
}
