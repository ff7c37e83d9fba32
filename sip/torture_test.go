package sip

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/policy"
	"holdline/sip/phone"
)

// torture is one message of RFC 4475, octet by octet in testdata/torture, and
// what Holdline makes of it: a proxy's answer where Holdline passes requests
// on, a user agent's where it ends them itself. Where the RFC lets an element
// choose between refusing and making sense of a message, the answer is ours to
// settle and stands here.
type torture struct {
	name    string // of the file, as in the RFC
	section string // of RFC 4475
	answer  int    // the final answer its sender gets; 0: silence
	says    string // a header of that answer, "Name: value"

	reaches  string   // the method that reaches the position; "": nothing may
	as       int      // what the position answers; 0: 200
	unharmed []string // octets that must arrive at the position as they are
	never    string   // octets that must not arrive
}

// tortures are all 49, in the order of the RFC.
func tortures() []torture {
	const session = "o=mhandley 29739 7272939 IN IP4 "
	return []torture{
		// Valid messages. wsinv has a To tag: to a user agent it belongs to a
		// dialog, and to none that Holdline has.
		{name: "wsinv", section: "3.1.1.1", answer: 481},
		{name: "intmeth", section: "3.1.1.2", answer: 405, says: "Allow: INVITE"},
		{name: "esc01", section: "3.1.1.3", answer: 200, reaches: "INVITE", unharmed: []string{"sip:%75se%72@example.com", "<sip:I%20have%20spaces@example.net>", session}},
		{name: "escnull", section: "3.1.1.4", answer: 200, reaches: "REGISTER", unharmed: []string{
			"sip:null-%00-null@example.com;tag=839923423", "<sip:%00@host5.example.com>", "<sip:%00%00@host5.example.com>",
		}},
		{name: "esc02", section: "3.1.1.5", answer: 405, says: "Allow: INVITE"}, // RE%47IST%45R is not REGISTER
		{name: "lwsdisp", section: "3.1.1.6", answer: 200, reaches: "OPTIONS", unharmed: []string{"<sip:caller@example.com>;tag=323"}},
		{name: "longreq", section: "3.1.1.7", answer: 200, reaches: "INVITE", unharmed: []string{
			"Unknown-" + strings.Repeat("Long", 20) + "-Name: unknown-" + strings.Repeat("long", 20) + "-value",
			"sip:" + strings.Repeat("amazinglylongcallername", 5) + "@example.net", "really" + "longcallid\r\n",
		}},
		{name: "dblreq", section: "3.1.1.8", answer: 200, reaches: "REGISTER"}, // what follows in the datagram is dropped
		{name: "semiuri", section: "3.1.1.9", answer: 200, reaches: "OPTIONS"},
		{name: "transports", section: "3.1.1.10", answer: 200, reaches: "OPTIONS", unharmed: []string{"/SCTP t2.example.com", "/UNKNOWN t4.example.com"}},
		{name: "mpart01", section: "3.1.1.11", answer: 200, reaches: "MESSAGE", unharmed: []string{"\r\n\r\n--7a9cbec02ceef655\r\n", "*\x86H\x86\xf7\r\x01\x07\x02", "\x01\x05\x00\x04\x81\x80", "Identity: r5mwreLuyDRYBi/0TiPwEsY3rEVsk"}},
		{name: "unreason", section: "3.1.1.12"},
		{name: "noreason", section: "3.1.1.13"},

		// Invalid messages.
		{name: "badinv01", section: "3.1.2.1", answer: 400},
		{name: "clerr", section: "3.1.2.2", answer: 400},
		{name: "ncl", section: "3.1.2.3", answer: 400},
		{name: "scalar02", section: "3.1.2.4", answer: 400},
		{name: "scalarlg", section: "3.1.2.5"},
		{name: "quotbal", section: "3.1.2.6", answer: 400},
		{name: "ltgtruri", section: "3.1.2.7", answer: 400},
		{name: "lwsruri", section: "3.1.2.8", answer: 400},
		{name: "lwsstart", section: "3.1.2.9", answer: 400},
		{name: "trws", section: "3.1.2.10", answer: 400},
		// Its escaped Route header is not taken for one, and goes no further.
		{name: "escruri", section: "3.1.2.11", answer: 200, reaches: "INVITE", never: "Route="},
		{name: "baddate", section: "3.1.2.12", answer: 200, reaches: "INVITE", unharmed: []string{"Date: Fri, 01 Jan 2010 16:00:00 EST"}},
		{name: "regbadct", section: "3.1.2.13", answer: 200, reaches: "REGISTER", unharmed: []string{"sip:user@example.com?Route=%3Csip:sip.example.com%3E"}},
		{name: "badaspec", section: "3.1.2.14", answer: 200, reaches: "OPTIONS"},
		{name: "baddn", section: "3.1.2.15", answer: 200, reaches: "OPTIONS"},
		{name: "badvers", section: "3.1.2.16", answer: 505},
		{name: "mismatch01", section: "3.1.2.17", answer: 400},
		{name: "mismatch02", section: "3.1.2.18", answer: 400},
		{name: "bigcode", section: "3.1.2.19"},

		// The transaction layer.
		{name: "badbranch", section: "3.2.1", answer: 200, reaches: "OPTIONS"},

		// The application layer.
		{name: "insuf", section: "3.3.1", answer: 400},
		{name: "unkscm", section: "3.3.2", answer: 416},
		{name: "novelsc", section: "3.3.3", answer: 416},
		{name: "unksm2", section: "3.3.4", answer: 200, reaches: "REGISTER", unharmed: []string{"isbn:2983792873", "<http://www.example.com>;tag=3234233", "<name:John_Smith>"}},
		// Holdline passes it on as a proxy: what a proxy must understand decides.
		{name: "bext01", section: "3.3.5", answer: 420, says: "Unsupported: noProxiesSupportThis, norDoAnyProxiesSupportThis"},
		{name: "invut", section: "3.3.6", answer: 415, reaches: "INVITE", as: 415, unharmed: []string{"Content-Type: application/unknownformat", "\r\n\r\n<audio>\r\n <pcmu port=\"443\"/>\r\n</audio>\r\n"}},
		{name: "regaut01", section: "3.3.7", answer: 200, reaches: "REGISTER", unharmed: []string{"Authorization: NoOneKnowsThisScheme opaque-data=here"}},
		{name: "multi01", section: "3.3.8", answer: 400},
		{name: "mcl01", section: "3.3.9", answer: 400},
		{name: "bcast", section: "3.3.10"},
		{name: "zeromf", section: "3.3.11", answer: 483},
		{name: "cparam01", section: "3.3.12", answer: 200, reaches: "REGISTER", unharmed: []string{"Contact: sip:+19725552222@gw1.example.net;unknownparam\r\n"}},
		{name: "cparam02", section: "3.3.13", answer: 200, reaches: "REGISTER", unharmed: []string{"Contact: <sip:+19725552222@gw1.example.net;unknownparam>\r\n"}},
		{name: "regescrt", section: "3.3.14", answer: 200, reaches: "REGISTER", unharmed: []string{"<sip:user@example.com?Route=%3Csip:sip.example.com%3E>"}},
		{name: "sdp01", section: "3.3.15", answer: 406, reaches: "INVITE", as: 406, unharmed: []string{"Accept: text/nobodyKnowsThis"}},

		// RFC 2543.
		{name: "inv2543", section: "3.4.1", answer: 200, reaches: "INVITE", unharmed: []string{session}},
	}
}

// Every message of RFC 4475 gets its answer, reaches the position unharmed or
// not at all, and leaves a guard behind that works and holds nothing of it.
func TestTortureMessages(t *testing.T) {
	files, err := filepath.Glob("testdata/torture/*.dat")
	if err != nil || len(files) != 49 || len(tortures()) != 49 {
		t.Fatalf("%d files and %d answers for the 49 messages, %v", len(files), len(tortures()), err)
	}
	for _, m := range tortures() {
		t.Run(m.name, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join("testdata/torture", m.name+".dat"))
			if err != nil {
				t.Fatal(err)
			}
			inWorld(t, tortureSettings(m), []string{"caller", "caller2"}, func(w *world) { w.torture(m, raw) })
		})
	}
}

// tortureSettings lead everything to one position, whatever its URI.
func tortureSettings(m torture) Settings {
	s := usualSettings()
	s.Trust = append(s.Trust, netip.MustParsePrefix("127.0.0.0/8")) // the next hop that mpart01 names
	s.Routes = []Route{{Match: "*", To: []string{"pos-1"}, Ring: 15 * time.Second}}
	if m.as != 0 {
		s.Routes[0].Kind = policy.Admin // a refused emergency call would go on to the queue
	}
	return s
}

func (w *world) torture(m torture, raw []byte) {
	w.t.Helper()
	w.guard.opts.Resolver = names{}
	position := hosts["pos-1"]
	if m.name == "mpart01" {
		position = "127.0.0.1:5080"
	}
	w.answeringPosition(position, max(m.as, 200))

	w.must(w.phone("caller").SendRaw(guardAddr, raw))
	w.pass(100 * time.Millisecond)
	answer, status := w.answerTo("10.0.0.1")
	if status != m.answer {
		w.t.Errorf("RFC 4475 section %s: answered %d, want %d\n%s", m.section, status, m.answer, w.ladder())
	}
	if name, value, ok := strings.Cut(m.says, ": "); ok && answer != nil && !strings.HasPrefix(strings.Join(getAll(answer, strings.ToLower(name)), ", "), value) {
		w.t.Errorf("RFC 4475 section %s: the answer has %s %q, want %q", m.section, name, getAll(answer, strings.ToLower(name)), value)
	}
	w.arrived(m, position)

	res, err := w.phone("caller2").Request(w.ctx, guardAddr, "sip:"+guardAddr, phone.Request{Method: "OPTIONS"})
	if err != nil || res.StatusCode != 200 {
		w.t.Errorf("OPTIONS afterwards: %v, %v", res, err)
	}
	w.pass(time.Minute) // an accepted INVITE is never acknowledged here: the call is given up
	w.nothingLeft()
}

// answeringPosition is a phone that answers everything it is sent at once.
func (w *world) answeringPosition(address string, status int) {
	w.t.Helper()
	conn, err := w.net.ListenUDP(address)
	w.must(err)
	p, err := phone.New(phone.Options{Conn: conn, User: "pos-1", OnRequest: func(c *phone.Call, r *gosip.Request) *phone.Reply {
		if c == nil && r.Method == "REGISTER" {
			return &phone.Reply{Code: 200}
		}
		return nil
	}})
	w.must(err)
	w.phones["pos-1"] = p
	go func() {
		for {
			c, err := p.Accept(w.ctx)
			if err != nil {
				return // the phone was closed
			}
			if status >= 300 {
				err = c.Reject(status)
			} else {
				err = c.Answer(sdp("pos-1"))
			}
			if err != nil {
				w.t.Errorf("the position cannot answer: %v", err)
			}
		}
	}()
}

// answerTo is the last final answer that the guard sent to a host, at
// whatever port its Via names.
func (w *world) answerTo(host string) (last *gosip.Response, status int) {
	w.t.Helper()
	for _, p := range w.net.Packets() {
		if p.From.String() != guardAddr || p.To.Addr().String() != host {
			continue
		}
		msg, err := (phone.Message{Raw: p.Data}).Parse()
		if err != nil {
			w.t.Errorf("the guard sent what cannot be parsed: %v\n%s", err, p.Data)
			continue
		}
		if res, ok := msg.(*gosip.Response); ok && res.StatusCode >= 200 {
			if status != 0 && status != res.StatusCode {
				w.t.Errorf("two answers: %d and %d", status, res.StatusCode)
			}
			last, status = res, res.StatusCode
		}
	}
	return last, status
}

// arrived checks what the position got of a message.
func (w *world) arrived(m torture, position string) {
	w.t.Helper()
	var methods []string
	var first []byte
	for _, p := range w.net.Packets() {
		if p.From.String() != guardAddr || p.To.String() != position || bytes.HasPrefix(p.Data, []byte("SIP/2.0 ")) {
			continue
		}
		method, _, _ := strings.Cut(string(p.Data), " ")
		if method == "ACK" || slices.Contains(methods, method) {
			continue
		}
		if methods = append(methods, method); first == nil {
			first = p.Data
		}
	}
	var want []string
	if m.reaches != "" {
		want = []string{m.reaches}
	}
	if !slices.Equal(methods, want) {
		w.t.Errorf("RFC 4475 section %s: the position got %v, want %v\n%s", m.section, methods, want, w.ladder())
	}
	for _, octets := range m.unharmed {
		if !bytes.Contains(first, []byte(octets)) {
			w.t.Errorf("RFC 4475 section %s: %q did not arrive in\n%q", m.section, octets, first)
		}
	}
	if m.never != "" && bytes.Contains(first, []byte(m.never)) {
		w.t.Errorf("RFC 4475 section %s: %q arrived in\n%q", m.section, m.never, first)
	}
}
