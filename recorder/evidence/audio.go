package evidence

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"holdline/recorder"
	"holdline/recorder/capture"
)

const (
	wavHeader  = 4096 // of a recording of Holdline
	frame      = 160  // samples of 20 ms
	sampleRate = 8000
)

// closedData is what signalling.closed says.
type closedData struct {
	capture.Sum
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// signalling are the call's sums of messages.
func signalling(records []recorder.Record) (out []closedData) {
	for _, r := range records {
		var d closedData
		if r.Kind == "signalling.closed" && json.Unmarshal(r.Data, &d) == nil && d.CallID != "" {
			out = append(out, d)
		}
	}
	return out
}

// addCapture writes the messages of all legs, and the audio of both sides as
// RTP that is made anew from the recording: the samples are those that were on
// the wire, the packets around them are not.
func (b *builder) addCapture(context.Context) error {
	from, to := b.records[0].Time, b.records[len(b.records)-1].Time
	for _, r := range b.records {
		if r.Call == b.call && r.Time.Before(from) || b.records[0].Call != b.call {
			from = r.Time
		}
	}
	ids := []string{b.call}
	for _, d := range signalling(b.records) {
		if d.CallID != b.call {
			ids = append(ids, d.CallID)
		}
	}
	var err error
	dir := b.o.Data + "/signalling"
	b.messages, err = capture.Find(dir, ids, from.Add(-time.Hour), to.Add(time.Hour))
	if err != nil {
		return err
	}
	if len(b.messages) == 0 {
		b.note("the messages of this call were not kept")
	}
	if len(signalling(b.records)) == 0 {
		b.note("the journal does not prove the messages: the call is in progress, or its node ended before it")
	}
	sides := streamsOf(b.messages)
	var packets []capture.Packet
	for _, d := range b.recordings() {
		more, err := b.audio(d.Path, sides)
		if err != nil {
			b.note("the capture is without audio: " + err.Error())
			continue
		}
		packets = append(packets, more...)
	}
	return b.writeCapture(packets)
}

// writeCapture merges messages and audio by time. Messages keep their order:
// their hash is taken in it.
func (b *builder) writeCapture(audio []capture.Packet) error {
	var buf bytes.Buffer
	w, err := capture.NewWriter(&buf, "Call "+b.call+". RTP is made anew from the recording; its samples are those of the wire.")
	if err != nil {
		return err
	}
	messages := append([]capture.Found(nil), b.messages...)
	capture.Renumber(messages)
	for len(messages) > 0 || len(audio) > 0 {
		var next capture.Packet
		if len(audio) == 0 || len(messages) > 0 && !messages[0].At.After(audio[0].At) {
			next, messages = messages[0].Packet, messages[1:]
		} else {
			next, audio = audio[0], audio[1:]
		}
		if err := w.Write(next); err != nil {
			return err
		}
	}
	return b.add(fileCapture, buf.Bytes())
}

// sides are the transport addresses of the caller's audio.
type sides struct{ caller, ours netip.AddrPort }

// streamsOf finds where the caller's audio went, from the caller's INVITE and
// the first answer with a description that went back. Without them any
// addresses do.
func streamsOf(messages []capture.Found) sides {
	s := sides{netip.MustParseAddrPort("192.0.2.1:10000"), netip.MustParseAddrPort("192.0.2.2:10000")}
	if len(messages) == 0 {
		return s
	}
	first := messages[0]
	if at, ok := audioOf(first.Raw); ok {
		s.caller = at
	}
	for _, m := range messages {
		if m.From == first.To && m.To == first.From && bytes.HasPrefix(m.Raw, []byte("SIP/2.0 ")) {
			if at, ok := audioOf(m.Raw); ok {
				s.ours = at
				break
			}
		}
	}
	if s.caller.Addr().Is4() != s.ours.Addr().Is4() { // one of them was not described
		s.ours = netip.AddrPortFrom(s.caller.Addr(), s.ours.Port())
	}
	return s
}

// audioOf reads the address and port of the first audio stream of a session
// description (RFC 8866 section 5.7 and 5.14).
func audioOf(raw []byte) (netip.AddrPort, bool) {
	var addr netip.Addr
	port := uint64(0)
	for line := range bytes.Lines(raw) {
		fields := strings.Fields(string(line))
		switch {
		case len(fields) == 3 && fields[0] == "c=IN" && (port == 0 || !addr.IsValid()):
			if a, err := netip.ParseAddr(fields[2]); err == nil {
				addr = a
			}
		case len(fields) > 3 && fields[0] == "m=audio" && port == 0:
			port, _ = strconv.ParseUint(fields[1], 10, 16)
		}
	}
	return netip.AddrPortFrom(addr, uint16(port)), addr.IsValid() && port > 0
}

// audio makes the packets of a recording.
func (b *builder) audio(path string, s sides) ([]capture.Packet, error) {
	f, err := os.Open(recorder.Find(b.o.Data, path))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	opened, err := b.unlock(path, f)
	if err != nil {
		return nil, err
	}
	return rtp(path, opened, s)
}

// rtp makes both directions of a recording's audio.
func rtp(path string, f io.Reader, s sides) ([]capture.Packet, error) {
	head := make([]byte, wavHeader)
	if _, err := io.ReadFull(f, head); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	began, pt, size, err := parseHeader(head)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	data, err := io.ReadAll(io.LimitReader(f, size))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	var out []capture.Packet
	for n := 0; (n+1)*2*frame <= len(data); n++ {
		at := began.Add(time.Duration(n) * 20 * time.Millisecond)
		var left, right [frame]byte
		for i := range frame {
			left[i], right[i] = data[n*2*frame+2*i], data[n*2*frame+2*i+1]
		}
		out = append(out,
			capture.Packet{At: at, Data: capture.Datagram(s.caller, s.ours, packet(pt, n, 1, left[:]))},
			capture.Packet{At: at, Data: capture.Datagram(s.ours, s.caller, packet(pt, n, 2, right[:]))})
	}
	return out, nil
}

// packet is RTP (RFC 3550 section 5.1); the SSRC says only which side it is.
func packet(pt uint8, n int, ssrc uint32, samples []byte) []byte {
	be := binary.BigEndian
	b := []byte{0x80, pt}
	b = be.AppendUint16(b, uint16(n))
	b = be.AppendUint32(b, uint32(n*frame))
	b = be.AppendUint32(b, ssrc)
	return append(b, samples...)
}

// parseHeader reads from a recording's header when it began, the static
// payload type of its format, and how many bytes of samples follow.
func parseHeader(head []byte) (began time.Time, pt uint8, size int64, err error) {
	if string(head[:4]) != "RIFF" || string(head[wavHeader-8:wavHeader-4]) != "data" {
		return began, 0, 0, errors.New("it is not a recording of Holdline")
	}
	if binary.LittleEndian.Uint16(head[20:]) == 6 {
		pt = 8 // A-law
	}
	i := bytes.Index(head, []byte("ICRD"))
	if i < 0 {
		return began, 0, 0, errors.New("its header does not say when it began")
	}
	n := binary.LittleEndian.Uint32(head[i+4:])
	text := strings.TrimRight(string(head[i+8:min(i+8+int(n), wavHeader)]), "\x00")
	if began, err = time.Parse(time.RFC3339Nano, text); err != nil {
		return began, 0, 0, errors.New("its header does not say when it began")
	}
	return began, pt, int64(binary.LittleEndian.Uint32(head[wavHeader-4:])), nil
}
