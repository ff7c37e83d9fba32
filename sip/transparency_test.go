package sip

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"

	"holdline/policy"
	"holdline/sip/phone"
)

// ownedHere is the whole list of what may differ between the two sides of a
// call. It stands here a second time on purpose: whoever lets the guard own
// one more header has to say so in two places.
var ownedHere = []string{"call-id", "contact", "content-length", "cseq", "from", "max-forwards", "record-route", "route", "to", "via"}

func TestOwnedHeaders(t *testing.T) {
	var have []string
	for name := range owned {
		have = append(have, name)
	}
	slices.Sort(have)
	if diff := cmp.Diff(ownedHere, have); diff != "" {
		t.Errorf("the list of owned headers has changed (-agreed +is):\n%s", diff)
	}
}

// sdpOwned is what an anchor of media owns of a session description: where
// media goes. The name of the session (o=) is ours in each dialog.
var sdpOwned = regexp.MustCompile(`(?m)^(o=).*$|^(c=).*$|^(m=[a-z]+ )\d+`)

// content is a body as it must pass: to the byte, but for what is owned in an SDP.
func content(msg gosip.Message) string {
	return sdpOwned.ReplaceAllString(string(msg.Body()), "$1$2$3*")
}

// i3Body is a body as an i3 call has it: SDP and a location inside a
// multipart inside a multipart, next to data about the caller, with preamble,
// epilogue, an empty part and a part of bytes that are no text.
func i3Body(name string) (contentType string, body []byte) {
	inner := "--in\r\nContent-Type: application/sdp\r\nContent-Disposition: session;handling=required\r\n\r\n" + string(sdp(name)) +
		"\r\n--in\r\nContent-Type: application/pidf+xml\r\nContent-ID: <loc@example.com>\r\nContent-Disposition: by-reference;handling=optional\r\n\r\n" + pidf + "\n<!-- not CRLF -->\n\r\n--in--\r\n"
	return `multipart/mixed;boundary="out er"`, []byte("preamble\r\n--out er\r\ncontent-type: multipart/related;\r\n boundary=in\r\n\r\n" + inner +
		"\r\n--out er\r\nContent-Type: application/EmergencyCallData.ProviderInfo+xml\r\nContent-ID: <1234567890@example.com>\r\n\r\n<ad:EmergencyCallData.ProviderInfo/>" +
		"\r\n--out er\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\x01\xff--out\n\r\r" +
		"\r\n--out er\r\n\r\n\r\n--out er--\r\nepilogue")
}

// unchanged compares a message as it was sent with what arrived; more are headers
// that the guard adds at the end.
func unchanged(t *testing.T, what string, sent, got gosip.Message, more ...string) {
	t.Helper()
	if diff := cmp.Diff(append(passing(sent), more...), passing(got)); diff != "" {
		t.Errorf("%s: headers changed (-in +out):\n%s", what, diff)
	}
	if bytes.Contains(sent.Body(), []byte("c=IN")) && !bytes.Contains(got.Body(), []byte("c=IN IP4 10.0.0.9")) {
		t.Errorf("%s: its media is not anchored:\n%s", what, got.Body())
	}
	if diff := cmp.Diff(content(sent), content(got)); diff != "" {
		t.Errorf("%s: body changed (-in +out):\n%s", what, diff)
	}
	a, _ := sent.(*gosip.Response)
	b, _ := got.(*gosip.Response)
	if a != nil && b != nil && (a.StatusCode != b.StatusCode || a.Reason != b.Reason) {
		t.Errorf("%s: %d %s became %d %s", what, a.StatusCode, a.Reason, b.StatusCode, b.Reason)
	}
}

// sent is the last message of a kind that a phone sent.
func (w *world) sent(who, what string) gosip.Message {
	w.t.Helper()
	for _, m := range slices.Backward(w.phone(who).Trace()) {
		if msg, err := m.Parse(); err == nil && m.Sent && m.Is(what) {
			return msg
		}
	}
	w.t.Fatalf("%s sent no %s\n%s", who, what, w.ladder())
	return nil
}

// answerHeaders are those of responses; some are known only there.
var answerHeaders = [][2]string{
	{"Server", "pbx/1.0 (a; b)"},
	{"Warning", `399 pbx "why, \"so\""`},
	{"Geolocation-Error", `100 ; code="Cannot Process"`},
	{"Call-Info", "<urn:emergency:uid:callid:x:bcf.example>;purpose=emergency-CallId"},
	{"P-Asserted-Identity", "<sip:desk@x>, <tel:+1>"},
	{"History-Info", "<sip:911@example.com>;index=1, <sip:desk@x>;index=1.1"},
	{"Session-ID", "a1b2c3;remote=d4e5"},
	{"Content-Language", "en"},
	{"e", "identity"},
	{"X-Vendor", " two  spaces; and=\"quotes\""},
	{"X-Vendor", "again"},
	{"X-Empty", ""},
}

func TestEveryPartOfAnInviteAndItsAnswersPasses(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller", func(v *phone.Invite) {
			v.Headers = append([][2]string{{"Require", "100rel"}}, i3Headers...)
			v.ContentType, v.Body = i3Body("caller")
		})
		pos := w.rings("pos-1")
		unchanged(t, "INVITE", caller.Invite, pos.Invite, "supported: replaces")
		if parts := phone.Parts(pos.Invite); len(parts) != 4 || parts[1].ContentID != "loc@example.com" {
			t.Errorf("the position reads %d parts", len(parts))
		}

		kind, body := i3Body("pos-1")
		early := append([][2]string{{"RSeq", "1"}, {"Require", "100rel"}}, answerHeaders...)
		w.must(pos.Reply(phone.Reply{Code: 183, Reason: "Early On", Headers: early, ContentType: kind, Body: body}))
		unchanged(t, "183", w.sent("pos-1", "183 INVITE"), seen(w, "caller", "183 INVITE"))
		n, _, _ := cseq(caller.Invite)
		exchange(w, caller, pos, "PRACK", [][2]string{{"RAck", "1 " + itoa(int(n)) + " INVITE"}}, "text/plain", []byte("x"), 200)

		w.must(pos.Reply(phone.Reply{Code: 200, Headers: answerHeaders, ContentType: kind, Body: body}))
		w.settle()
		unchanged(t, "200", w.sent("pos-1", "200 INVITE"), seen(w, "caller", "200 INVITE"))
		w.must(pos.WaitAck(w.ctx))
	})
}

// exchange sends a request in a dialog, has it answered, and compares both
// with what arrives on the other side.
func exchange(w *world, from, to *phone.Call, method string, headers [][2]string, contentType string, body []byte, code int) {
	w.t.Helper()
	side := map[bool]string{true: "pos-1", false: "caller"}
	w.settle() // what came before is over
	var got *gosip.Request
	reply := phone.Reply{Code: code, Reason: "As It Is", Headers: slices.Clone(answerHeaders), ContentType: contentType, Body: body}
	to.OnRequest(func(r *gosip.Request) *phone.Reply {
		if string(r.Method) != method {
			return nil
		}
		got = r
		return &reply
	})
	res, err := from.Request(w.ctx, phone.Request{Method: method, Headers: headers, ContentType: contentType, Body: body})
	w.settle()
	if err != nil || got == nil {
		w.t.Fatalf("%s from %s: %v, %v\n%s", method, side[from.Incoming], res, err, w.ladder())
	}
	to.OnRequest(nil)
	name := method + " from " + side[from.Incoming]
	unchanged(w.t, name, w.sent(side[from.Incoming], method), got)
	unchanged(w.t, name+": its answer", w.sent(side[to.Incoming], itoa(code)+" "+method), res)
	if got := get(got, "max-forwards"); got != "69" {
		w.t.Errorf("%s: Max-Forwards is %s", name, got)
	}
}

func TestEveryPartOfInDialogRequestsPasses(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		for _, dir := range []struct {
			from, to *phone.Call
			name     string
		}{{caller, pos, "caller"}, {pos, caller, "pos-1"}} {
			kind, body := i3Body(dir.name)
			for method, own := range map[string][][2]string{
				"INVITE": nil, "UPDATE": nil, "INFO": {{"Info-Package", "emergency"}}, "MESSAGE": {{"Expires", "60"}},
				"NOTIFY":    {{"o", "presence;id=7"}, {"Subscription-State", "active;expires=60"}},
				"SUBSCRIBE": {{"Event", "dialog"}, {"Expires", "3600"}, {"Accept", "application/dialog-info+xml"}},
				"OPTIONS":   {{"Accept", "*/*"}}, "PRACK": nil, "REFER": {{"Refer-To", "<sip:someone@example.com;method=INVITE?Subject=x>"}, {"Refer-Sub", "false"}},
			} {
				if method == "REFER" && dir.name != "caller" {
					continue // a position's REFER is performed, not passed
				}
				exchange(w, dir.from, dir.to, method, append(own, i3Headers...), kind, body, 200)
				w.up(caller, "caller")
				w.up(pos, "pos-1")
			}
			exchange(w, dir.from, dir.to, "MESSAGE", nil, "message/cpim", []byte("a\r\n\r\nb\x00c"), 202)
			exchange(w, dir.from, dir.to, "INFO", nil, "", nil, 415)
			exchange(w, dir.from, dir.to, "INVITE", nil, kind, body, 488)
			exchange(w, dir.from, dir.to, "UPDATE", nil, "", nil, 504)
		}
		w.pass(time.Minute)
		w.up(caller, "caller")
		w.up(pos, "pos-1")
	})
}

// A dialog-forming or target-refreshing answer says where its sender is, and
// that is us (RFC 3515 section 2.4.2, RFC 3261 section 12.2.2).
func TestAnswersCarryOurContact(t *testing.T) {
	inWorld(t, usualSettings(), []string{"caller", "pos-1"}, func(w *world) {
		caller := w.calls("caller")
		pos := w.answers("pos-1")
		for _, method := range []string{"INVITE", "UPDATE", "SUBSCRIBE", "REFER"} {
			pos.OnRequest(func(*gosip.Request) *phone.Reply {
				return &phone.Reply{Code: 200, Headers: [][2]string{{"Contact", "<" + uriFor("pos-1") + ">"}}, Body: sdp("pos-1")}
			})
			res, err := caller.Request(w.ctx, phone.Request{Method: method, Headers: [][2]string{{"Refer-To", "<sip:a@b>"}, {"Event", "x"}}, Body: sdp("caller")})
			if err != nil || !strings.Contains(get(res, "contact"), guardAddr) {
				t.Errorf("%s was answered with Contact %q, %v", method, get(res, "contact"), err)
			}
			w.settle()
		}
	})
}

// The BYE of an allowed release, and the caller's own, reach the other side
// with what they say; what they say to the guard itself does not.
func TestEveryPartOfAByePasses(t *testing.T) {
	for name, byCaller := range map[string]bool{"the caller": true, "the position": false} {
		t.Run(name, func(t *testing.T) {
			s := usualSettings()
			s.IntakeHeader = "Holdline-Intake"
			inWorld(t, s, []string{"caller", "pos-1"}, func(w *world) {
				caller := w.calls("caller")
				pos := w.answers("pos-1")
				headers := append([][2]string{{"User-to-User", "56a390f3d2b7310023a2;encoding=hex"}}, i3Headers...)
				by, other, who := caller, pos, "caller"
				if !byCaller {
					by, other, who = pos, caller, "pos-1"
					_, err := w.guard.MarkIntake(w.ctx, caller.ID(), map[policy.Field]string{policy.Incident: "7"}, "t")
					w.must(err)
				}
				res, err := by.Request(w.ctx, phone.Request{Method: "BYE", Headers: append(headers, [2]string{"Holdline-Intake", "nature=x"}), ContentType: "message/sip", Body: []byte("why\r\n")})
				if err != nil || res.StatusCode != 200 {
					t.Fatalf("BYE: %v, %v", res, err)
				}
				w.ended(other, "the other side", "BYE", true)
				sent := w.sent(who, "BYE")
				sent.(*gosip.Request).RemoveHeader("Holdline-Intake")
				unchanged(t, "BYE", sent, other.End().By)
				w.nothingLeft()
			})
		})
	}
}
