package media

import (
	"encoding/binary"
	"strings"

	"github.com/zaf/g711"
)

// Static payload types (RFC 3551 section 6) and what the tap calls any other
// format.
const (
	ptPCMU   = 0
	ptPCMA   = 8
	tapOther = 255
)

// Encoding names that the relay knows.
const (
	namePCMU  = "PCMU"
	namePCMA  = "PCMA"
	nameEvent = "TELEPHONE-EVENT"
	nameT140  = "T140"
	nameRED   = "RED"
)

// ptSet is a set of RTP payload types.
type ptSet [2]uint64

func (s *ptSet) add(pt uint8)      { s[pt>>6&1] |= 1 << (pt & 63) }
func (s *ptSet) has(pt uint8) bool { return s[pt>>6&1]&(1<<(pt&63)) != 0 }

// normal brings a codec into the form in which codecs are compared.
func normal(c Codec) Codec {
	c.PT &= 0x7f
	c.Name = strings.ToUpper(c.Name)
	if c.Name == "" {
		if s, ok := static(c.PT); ok {
			return s
		}
	}
	if c.Channels == 0 {
		c.Channels = 1
	}
	if c.Rate == 0 && (c.Name == namePCMU || c.Name == namePCMA || c.Name == nameEvent) {
		c.Rate = 8000
	}
	return c
}

// static is the meaning of a payload type that needs no rtpmap.
func static(pt uint8) (Codec, bool) {
	switch pt {
	case ptPCMU:
		return Codec{PT: pt, Name: namePCMU, Rate: 8000, Channels: 1}, true
	case ptPCMA:
		return Codec{PT: pt, Name: namePCMA, Rate: 8000, Channels: 1}, true
	default:
		return Codec{}, false
	}
}

// find looks a payload type up in a list.
func find(list []Codec, pt uint8) (Codec, bool) {
	for _, c := range list {
		if c.PT == pt {
			return c, true
		}
	}
	return Codec{}, false
}

// match looks for the number under which a list has the format of c.
func match(list []Codec, c Codec) (uint8, bool) {
	for _, d := range list {
		if d.Name == c.Name && d.Rate == c.Rate && d.Channels == c.Channels {
			return d.PT, true
		}
	}
	return 0, false
}

// named looks for the first codec of a list with the given name and rate.
func named(list []Codec, name string, rate uint32) (Codec, bool) {
	for _, c := range list {
		if c.Name == name && c.Rate == rate {
			return c, true
		}
	}
	return Codec{}, false
}

// setOf collects the payload types under which list has a one-channel format
// of 8 kHz with the given name, or the static one when the number is not
// otherwise used.
func setOf(list []Codec, name string) (s ptSet) {
	for _, c := range list {
		if c.Name == name && c.Rate == 8000 && c.Channels == 1 {
			s.add(c.PT)
		}
	}
	for _, pt := range []uint8{ptPCMU, ptPCMA} {
		c, _ := static(pt)
		if _, used := find(list, pt); !used && c.Name == name {
			s.add(pt)
		}
	}
	return s
}

// change is what happens to a payload between two legs.
type change uint8

const (
	keep     change = iota
	toALaw          // PCMU becomes PCMA
	toULaw          // PCMA becomes PCMU
	renumber        // RED: the payload types within are mapped, RFC 2198
)

// route says for each payload type of one leg's packets which number they
// have on another leg, and how the payload changes.
type route struct {
	pt [128]uint8
	do [128]change
}

// newRoute compares two legs' codecs. nil means that nothing changes.
//
// A sender may use its own numbers or, as RFC 3264 section 5.1 has it, the
// receiver's, and SDP alone does not tell which. A number that one side gave
// to a format is followed; what cannot be mapped passes as it is, because it
// can only be what the other side asked for.
func newRoute(src, dst []Codec) *route {
	if len(src) == 0 || len(dst) == 0 {
		return nil
	}
	r, changed := &route{}, false
	for i := range r.pt {
		pt := uint8(i)
		r.pt[i], r.do[i] = translate(pt, src, dst)
		changed = changed || r.pt[i] != pt || r.do[i] != keep
	}
	if !changed {
		return nil
	}
	for i := range r.pt {
		if c, ok := find(src, uint8(i)); ok && c.Name == nameRED {
			r.do[i] = renumber
		}
	}
	return r
}

func translate(pt uint8, src, dst []Codec) (uint8, change) {
	c, ok := find(src, pt)
	if !ok {
		if _, theirs := find(dst, pt); theirs {
			return pt, keep
		}
		if c, ok = static(pt); !ok {
			return pt, keep
		}
	}
	if d, ok := find(dst, pt); ok && d.Name == c.Name && d.Rate == c.Rate && d.Channels == c.Channels {
		return pt, keep
	}
	if to, ok := match(dst, c); ok {
		return to, keep
	}
	other, do := Codec{Name: namePCMA, Rate: 8000, Channels: 1}, toALaw
	if c.Name == namePCMA {
		other.Name, do = namePCMU, toULaw
	}
	if (c.Name == namePCMU || c.Name == namePCMA) && c.Rate == 8000 && c.Channels == 1 {
		if to, ok := match(dst, other); ok {
			return to, do
		}
	}
	return pt, keep
}

// laws holds the tables between the two companding laws (G.711).
type laws struct{ toA, toU [256]byte }

func newLaws() *laws {
	l := &laws{}
	for i := range l.toA {
		l.toA[i] = g711.Ulaw2AlawFrame(uint8(i))
		l.toU[i] = g711.Alaw2UlawFrame(uint8(i))
	}
	return l
}

// apply maps the payload type of h and changes the payload of b in place.
func (r *route) apply(b []byte, h *header, l *laws) {
	do := r.do[h.pt]
	h.pt = r.pt[h.pt]
	switch do {
	case keep:
	case toALaw:
		convert(b[h.off:h.end], &l.toA)
	case toULaw:
		convert(b[h.off:h.end], &l.toU)
	case renumber:
		r.renumber(b[h.off:h.end])
	}
}

func convert(p []byte, table *[256]byte) {
	for i, v := range p {
		p[i] = table[v]
	}
}

// renumber maps the payload types in the block headers of RFC 2198 section 3.
func (r *route) renumber(p []byte) {
	for len(p) > 0 {
		more := p[0] & 0x80
		p[0] = more | r.pt[p[0]&0x7f]
		if more == 0 || len(p) < 4 {
			return
		}
		p = p[4:]
	}
}

// redHeader is the header of one redundant block (RFC 2198 section 3).
func redHeader(pt uint8, offset uint32, size int) [4]byte {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 1<<31|uint32(pt)<<24|(offset&0x3fff)<<10|uint32(size)&0x3ff)
	return b
}
