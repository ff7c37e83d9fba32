package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdline/policy"
	"holdline/recorder"
	"holdline/sip"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a journal without a disk.
type memory struct {
	mu      sync.Mutex
	records []recorder.Record
	changed chan struct{} // closed and replaced whenever there is more
	broken  error
}

func newMemory() *memory { return &memory{changed: make(chan struct{})} }

func (j *memory) add(call, kind, data string) recorder.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := recorder.Record{
		Seq: uint64(len(j.records) + 1), Time: epoch.Add(time.Duration(len(j.records)) * time.Second),
		Node: "psap-a", Call: call, Kind: kind, Data: json.RawMessage(data),
	}
	j.records = append(j.records, r)
	close(j.changed)
	j.changed = make(chan struct{})
	return r
}

func (j *memory) Commit(done func(bool), entries ...recorder.Entry) {
	for _, e := range entries {
		data, err := json.Marshal(e.Data)
		if err != nil {
			panic(err)
		}
		j.add(e.Call, e.Kind, string(data))
	}
	done(true)
}

func (j *memory) Read(_ context.Context, kind string, each func(recorder.Record) error) error {
	j.mu.Lock()
	records, err := j.records, j.broken
	j.mu.Unlock()
	for _, r := range records {
		family, all := strings.CutSuffix(kind, "*")
		if r.Kind == kind || all && strings.HasPrefix(r.Kind, family) {
			if err := each(r); err != nil {
				return err
			}
		}
	}
	return err
}

// breaks makes every Read fail.
func (j *memory) breaks(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = err
}

func (j *memory) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return uint64(len(j.records))
}

func (j *memory) Subscribe(after uint64) Stream {
	s := &memoryStream{c: make(chan recorder.Record), stop: make(chan struct{})}
	s.running.Go(func() { j.deliver(s, after) })
	return s
}

func (j *memory) deliver(s *memoryStream, after uint64) {
	for {
		j.mu.Lock()
		var next []recorder.Record
		if after < uint64(len(j.records)) {
			next = j.records[after:]
		}
		changed := j.changed
		j.mu.Unlock()
		for _, r := range next {
			select {
			case s.c <- r:
				after = r.Seq
			case <-s.stop:
				return
			}
		}
		if len(next) == 0 {
			select {
			case <-changed:
			case <-s.stop:
				return
			}
		}
	}
}

type memoryStream struct {
	c       chan recorder.Record
	stop    chan struct{}
	running sync.WaitGroup
}

func (s *memoryStream) C() <-chan recorder.Record { return s.c }

func (s *memoryStream) Close() {
	close(s.stop)
	s.running.Wait()
}

// board is a set of calls as the guard would show them.
type board struct {
	mu       sync.Mutex
	calls    []sip.CallView
	released string // "id reason by" of the last forced release
	fail     error
	told     []string // what MarkFrom was told
	joined   []sip.JoinRequest
	media    netip.AddrPort // where browsers that join send to
	left     chan string    // joins that left; nil: nobody asks
}

func (b *board) List() []sip.CallView {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]sip.CallView(nil), b.calls...)
}

func (b *board) Get(id string) (sip.CallView, error) {
	for _, v := range b.List() {
		if v.ID == id || v.EmergencyID != "" && v.EmergencyID == id {
			return v, nil
		}
	}
	return sip.CallView{}, fmt.Errorf("looking for it: %w", sip.ErrNoCall)
}

func (b *board) MarkIntake(_ context.Context, id string, marks map[policy.Field]string, by string) (sip.CallView, error) {
	if b.fail != nil {
		return sip.CallView{}, b.fail
	}
	v, err := b.Get(id)
	if err != nil {
		return v, err
	}
	v.Intake = policy.Intake{}
	for f, value := range marks {
		v.Intake[f] = policy.Mark{Value: value, By: by, Source: "http", At: epoch}
	}
	v.Complete = v.Intake.Complete()
	return v, nil
}

func (b *board) Release(_ context.Context, id, reason, by string) error {
	if b.fail != nil {
		return b.fail
	}
	v, err := b.Get(id)
	if err == nil {
		b.released = strings.Join([]string{v.ID, reason, by}, "|")
	}
	return err
}

// Join and what follows know one supervisor, j1, and one whose phone rings.
func (b *board) Join(_ context.Context, id string, q sip.JoinRequest) (sip.JoinView, error) {
	v, err := b.Get(id)
	switch {
	case err != nil:
		return sip.JoinView{}, err
	case !slices.Contains(sip.Modes(), q.Mode):
		return sip.JoinView{}, fmt.Errorf("%w: %q", sip.ErrMode, q.Mode)
	case q.Media == nil && !strings.HasPrefix(q.Target, "sip:"):
		return sip.JoinView{}, fmt.Errorf("%w: %q", sip.ErrTarget, q.Target)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.joined = append(b.joined, q)
	return sip.JoinView{ID: "j1", Call: v.ID, Mode: q.Mode, Target: q.Target, By: q.By, Via: "phone", State: "calling", Asked: epoch, Media: b.media}, nil
}

func (b *board) joinNamed(id, join string) (sip.JoinView, error) {
	v, err := b.Get(id)
	switch {
	case err != nil:
		return sip.JoinView{}, err
	case join == "ringing":
		return sip.JoinView{}, fmt.Errorf("%w: it rings", sip.ErrNotNow)
	case join != "j1":
		return sip.JoinView{}, sip.ErrNoJoin
	}
	return sip.JoinView{ID: join, Call: v.ID, Mode: sip.ModeListen, State: "confirmed"}, nil
}

func (b *board) SetMode(_ context.Context, id, join string, mode sip.Mode, _ string) (sip.JoinView, error) {
	v, err := b.joinNamed(id, join)
	v.Mode = mode
	return v, err
}

func (b *board) Leave(_ context.Context, id, join, _ string) (sip.JoinView, error) {
	v, err := b.joinNamed(id, join)
	v.State = "ended"
	if b.left != nil {
		b.left <- join
	}
	return v, err
}

func (b *board) TakeOver(_ context.Context, id, join, _ string) (sip.JoinView, error) {
	v, err := b.joinNamed(id, join)
	v.Mode = sip.ModeTaker
	return v, err
}

func (b *board) Assist(_ context.Context, id string, q sip.AssistRequest) (sip.AssistView, error) {
	v, err := b.Get(id)
	switch q.Kind {
	case "":
		q.Kind = sip.AssistJoin
	case sip.AssistJoin, sip.AssistHandover:
	default:
		return sip.AssistView{}, fmt.Errorf("%w: kind %q", sip.ErrMode, q.Kind)
	}
	return sip.AssistView{Alert: "a1", Kind: q.Kind, Called: []string{}, Call: v}, err
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bench is a console under test with everything around it.
type bench struct {
	t       *testing.T
	console *Console
	journal *memory
	board   *board
	base    string // http://127.0.0.1:port
	client  *http.Client
}

func newBench(t *testing.T, change ...func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, journal: newMemory(), board: &board{}}
	o := Options{
		Calls: b.board, Journal: b.journal, Version: "1.2.3", Node: "psap-a",
		Listen: func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
	}
	for _, f := range change {
		f(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.Start()
	transport := &http.Transport{}
	b.console, b.base, b.client = c, "http://"+c.Addr().String(), &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := c.Stop(ctx); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return b
}

// do sends a request straight to the handler. header is a list of "Name: value".
func (b *bench) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8911"
	r.RemoteAddr = "10.1.2.3:4567"
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	b.console.server.Handler.ServeHTTP(w, r)
	return w
}

func callView(id, state string) sip.CallView {
	return sip.CallView{
		ID: id, EmergencyID: "urn:emergency:uid:callid:" + id + ":psap.example", Kind: "emergency", State: state,
		From: "sip:caller@example.com", To: "urn:service:sos", Started: epoch,
	}
}
