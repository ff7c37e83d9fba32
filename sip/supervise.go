package sip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"holdline/media"
)

// Mode is what a supervisor does in a call.
type Mode string

// The modes of a supervisor. ModeTaker is where a take-over leads; nobody
// joins with it.
const (
	ModeListen  Mode = "listen"  // hears everybody, is heard by nobody
	ModeWhisper Mode = "whisper" // is heard by the taker only
	ModeBarge   Mode = "barge"   // is heard by all
	ModeTaker   Mode = "taker"   // has the caller, in place of a call taker
)

// Modes are those a supervisor can join with.
func Modes() []Mode { return []Mode{ModeListen, ModeWhisper, ModeBarge} }

// The ways a supervisor came into a call.
const (
	ViaPhone   = "phone"   // we called the supervisor's phone
	ViaDialIn  = "dial-in" // the supervisor's phone called us
	ViaBrowser = "browser"
	ViaAssist  = "assist" // we called it because a taker asked for help
)

// What can be wrong with a supervisor's command, beside ErrNoCall.
var (
	// ErrNoJoin says that nobody takes part in the call under that id.
	ErrNoJoin = errors.New("no such supervisor in this call")
	// ErrTarget says that a supervisor's phone cannot be called.
	ErrTarget = errors.New("not a SIP URI that can be called")
	// ErrMode says that a mode is none of Modes.
	ErrMode = errors.New("no such mode")
	// ErrNotNow says that the call is in no state for the command.
	ErrNotNow = errors.New("not now")
)

// JoinRequest asks to bring a supervisor into a call: by the phone at Target,
// or with media of its own.
type JoinRequest struct {
	Mode   Mode
	Target string // a SIP URI, or the id of a configured supervisor or position
	By     string // who asked for it
	Via    string // "": ViaPhone, or ViaBrowser with Media
	Media  *MediaEndpoint
	// Once says that a phone that is in the call, or rings for it, is not called
	// a second time: its part is returned as it is.
	Once bool
}

// MediaEndpoint is a supervisor without a SIP phone: a gateway on this host
// that sends and receives RTP for a browser.
type MediaEndpoint struct {
	RTP netip.AddrPort // where it receives, and sends from
	// Codec is the G.711 payload type it sends and takes: 0 PCMU, 8 PCMA.
	Codec uint8
	// Closed is called once when the supervisor's part is over, with the
	// reason. It must not block.
	Closed func(why string)
}

// JoinView is a supervisor's part in a call as people and programs see it.
type JoinView struct {
	ID     string    `json:"id"`
	Call   string    `json:"call"`
	Mode   Mode      `json:"mode"`
	Target string    `json:"target"`
	By     string    `json:"by"`
	Via    string    `json:"via"`   // phone, dial-in, browser, assist
	State  string    `json:"state"` // calling, early, confirmed, ended
	Asked  time.Time `json:"asked"`
	Joined time.Time `json:"joined,omitzero"` // journaled, and since then with media

	Media netip.AddrPort `json:"-"` // where a MediaEndpoint sends to
}

// Join is the state of a supervisor's part that is kept with its leg.
type Join struct {
	ID     string    `json:"id"`
	Mode   Mode      `json:"mode"`
	By     string    `json:"by"`
	Via    string    `json:"via"`
	Asked  time.Time `json:"asked"`
	Joined time.Time `json:"joined,omitzero"`
	Over   bool      `json:"over,omitempty"`
}

// role is what a leg of that mode is in its call.
func (m Mode) role() Role {
	switch m {
	case ModeListen:
		return RoleListener
	case ModeWhisper:
		return RoleWhisperer
	case ModeBarge:
		return RoleBarger
	case ModeTaker:
	}
	return RoleTaker
}

// media is the mode as media knows it.
func (m Mode) media() media.Mode {
	switch m {
	case ModeWhisper:
		return media.Whisper
	case ModeBarge:
		return media.Barge
	case ModeListen, ModeTaker:
	}
	return media.Listen
}

// callType is the name that i3 (NENA-STA-010.3, call types of log events) has
// for a supervisor's part.
func (m Mode) callType() string {
	if m == ModeListen {
		return "silentMonitoring"
	}
	return "intervene"
}

// supervises tells whether l is a supervisor's leg, also after it became the taker's.
func (l *leg) supervises() bool { return l.Join.ID != "" }

// Join brings a supervisor into a call.
func (g *Guard) Join(ctx context.Context, id string, q JoinRequest) (JoinView, error) {
	if !slices.Contains(Modes(), q.Mode) {
		return JoinView{}, fmt.Errorf("%w: %q", ErrMode, q.Mode)
	}
	if q.Media != nil && !q.Media.valid() {
		return JoinView{}, fmt.Errorf("%w: media at %s", ErrTarget, q.Media.RTP)
	}
	return g.command(ctx, id, func(c *Call) (*leg, error) { return c.join(q) })
}

// SetMode switches what a supervisor does in a call.
func (g *Guard) SetMode(ctx context.Context, id, join string, mode Mode, by string) (JoinView, error) {
	if !slices.Contains(Modes(), mode) {
		return JoinView{}, fmt.Errorf("%w: %q", ErrMode, mode)
	}
	return g.command(ctx, id, func(c *Call) (*leg, error) {
		l := c.joinOf(join)
		if l == nil {
			return nil, ErrNoJoin
		}
		return l, c.switchMode(l, mode, by)
	})
}

// Leave ends a supervisor's part. A supervisor who has become the taker leaves
// as takers do: policy decides about it.
func (g *Guard) Leave(ctx context.Context, id, join, by string) (JoinView, error) {
	return g.command(ctx, id, func(c *Call) (*leg, error) {
		l := c.joinOf(join)
		if l == nil {
			return nil, ErrNoJoin
		}
		if l == c.taker {
			if c.State != Bridged && c.State != Relieving {
				return nil, fmt.Errorf("%w: the supervisor is leaving already", ErrNotNow)
			}
			c.lost(l, "left by "+by)
			return l, nil
		}
		c.leave(l, "asked by "+by)
		return l, nil
	})
}

// TakeOver makes a supervisor the taker; whoever had the caller is let go.
func (g *Guard) TakeOver(ctx context.Context, id, join, by string) (JoinView, error) {
	return g.command(ctx, id, func(c *Call) (*leg, error) {
		l := c.joinOf(join)
		if l == nil {
			return nil, ErrNoJoin
		}
		return l, c.takeCall(l, by)
	})
}

// command runs f in the goroutine of a call and returns the supervisor's part
// after it.
func (g *Guard) command(ctx context.Context, id string, f func(*Call) (*leg, error)) (JoinView, error) {
	var v JoinView
	var failed error
	_, err := g.ask(ctx, id, func(c *Call) {
		var l *leg
		if l, failed = f(c); failed == nil {
			v = c.joinView(l)
		}
	})
	if err != nil { // f may still run: what it sets is not read
		return JoinView{}, err
	}
	return v, failed
}

// joinOf finds a supervisor's leg; nil when there is none, or it is over.
func (c *Call) joinOf(id string) *leg {
	for _, l := range c.legs {
		if l.supervises() && l.Join.ID == id && !l.Join.Over {
			return l
		}
	}
	return nil
}

func (c *Call) joinView(l *leg) JoinView {
	v := JoinView{
		ID: l.Join.ID, Call: c.ID, Mode: l.Join.Mode, Target: l.Target, By: l.Join.By, Via: l.Join.Via,
		State: string(l.State), Asked: l.Join.Asked, Joined: l.Join.Joined,
	}
	if l.taking {
		v.Mode = ModeTaker // on its way to the disk
	}
	if l.Join.Over {
		v.State = string(Over)
	}
	if i := l.audio; i < len(l.Ports) {
		v.Media = l.Ports[i].RTP
	}
	return v
}

// supervisorTarget finds the phone of a supervisor by id or URI.
func (c *Call) supervisorTarget(name string) (id, uri string, err error) {
	s := c.g.settings.Load()
	t := s.target(name)
	id, uri = t.Name, t.URI
	for _, p := range s.Supervisors.Phones {
		if p.ID == name || p.URI == name {
			id, uri = p.ID, p.URI
		}
	}
	var u gosip.Uri
	if err := gosip.ParseUri(uri, &u); err != nil || !strings.EqualFold(u.Scheme, "sip") || u.Host == "" {
		return "", "", fmt.Errorf("%w: %q", ErrTarget, name)
	}
	if c.g.isOurs(uri) {
		return "", "", fmt.Errorf("%w: %q is this node itself", ErrTarget, name)
	}
	return id, uri, nil
}
