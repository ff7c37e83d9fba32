package alerting

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdline/recorder"
	"holdline/sip"
)

// memory is a journal without a disk. It outlives the Desks of a test, as the
// real one outlives a process.
type memory struct {
	mu      sync.Mutex
	records []recorder.Record
	changed chan struct{}
	broken  error // of Read
}

func (j *memory) Commit(done func(bool), entries ...recorder.Entry) {
	j.mu.Lock()
	for _, e := range entries {
		data, err := json.Marshal(e.Data)
		if err != nil {
			panic(err)
		}
		j.records = append(j.records, recorder.Record{Seq: uint64(len(j.records) + 1), Time: e.Time, Node: "psap-a", Call: e.Call, Kind: e.Kind, Data: data})
	}
	close(j.changed)
	j.changed = make(chan struct{})
	j.mu.Unlock()
	done(true)
}

func (j *memory) Read(_ context.Context, kind string, each func(recorder.Record) error) error {
	j.mu.Lock()
	records, err := j.records, j.broken
	j.mu.Unlock()
	if err != nil {
		return err
	}
	family, all := strings.CutSuffix(kind, "*")
	for _, r := range records {
		if r.Kind == kind || all && strings.HasPrefix(r.Kind, family) {
			if err := each(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (j *memory) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return uint64(len(j.records))
}

func (j *memory) Subscribe(after uint64) Stream {
	s := &subscription{c: make(chan recorder.Record), stop: make(chan struct{})}
	s.running.Go(func() {
		for {
			j.mu.Lock()
			next, changed := j.records[after:], j.changed
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
	})
	return s
}

type subscription struct {
	c       chan recorder.Record
	stop    chan struct{}
	running sync.WaitGroup
}

func (s *subscription) C() <-chan recorder.Record { return s.c }
func (s *subscription) Close()                    { close(s.stop); s.running.Wait() }

// board shows calls.
type board struct {
	mu    sync.Mutex
	calls map[string]sip.CallView
	stuck chan struct{} // not nil: no call answers until it is closed
}

func (b *board) Get(id string) (sip.CallView, error) {
	if b.stuck != nil {
		<-b.stuck
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if v, ok := b.calls[id]; ok {
		return v, nil
	}
	return sip.CallView{}, sip.ErrNoCall
}

func (b *board) set(v sip.CallView) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls[v.ID] = v
}

// postbox is a channel whose answers the test decides.
type postbox struct {
	mu   sync.Mutex
	got  []Message
	at   []time.Time
	fail error
	hang bool // never answers
}

func (p *postbox) Send(ctx context.Context, m Message) (string, error) {
	p.mu.Lock()
	fail, hang := p.fail, p.hang
	p.mu.Unlock()
	if hang {
		<-ctx.Done()
		return "", ctx.Err()
	}
	if fail != nil {
		return "", fail
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got, p.at = append(p.got, m), append(p.at, time.Now())
	return "taken", nil
}

func (p *postbox) broken(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = err
}

// texts is what arrived: "firing a1", one for each alert.
func (p *postbox) texts() (out []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.got {
		for _, n := range m.Notices {
			out = append(out, string(n.Event)+" "+n.Alert.ID)
		}
	}
	return out
}

func (p *postbox) messages() []Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Message(nil), p.got...)
}

// world is a Desk in virtual time with everything around it.
type world struct {
	t        *testing.T
	journal  *memory
	board    *board
	desk     *Desk
	channels []Channel
	steps    []Step
}

// inWorld runs a test in virtual time. The Desk is started by w.start.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, journal: &memory{changed: make(chan struct{})}, board: &board{calls: map[string]sip.CallView{}}}
		defer func() {
			if w.desk != nil {
				w.desk.Stop()
			}
		}()
		test(w)
	})
}

// start starts a Desk, or a new one in place of the one before: a restart.
func (w *world) start() {
	w.t.Helper()
	if w.desk != nil {
		w.desk.Stop()
	}
	w.desk = New(Options{Journal: w.journal, Calls: w.board, Node: "psap-a", Console: "http://console/"})
	w.desk.Configure(w.channels, w.steps)
	w.desk.Start()
	synctest.Wait()
}

// add adds a channel to the next Desk.
func (w *world) add(name string, program bool) *postbox {
	p := &postbox{}
	w.channels = append(w.channels, Channel{Name: name, Kind: "test", Sender: p, Batch: 100, Program: program, Config: name})
	return p
}

func (w *world) note(call, kind, data string) {
	w.journal.Commit(func(bool) {}, recorder.Entry{Time: time.Now(), Call: call, Kind: kind, Data: json.RawMessage(data)})
	synctest.Wait()
}

func (w *world) raise(call, id, cause string) {
	w.note(call, KindRaised, `{"id":"`+id+`","cause":"`+cause+`","why":"nothing is marked","position":"pos-1","agent":"ann"}`)
}

func (w *world) pass(d time.Duration) { time.Sleep(d); synctest.Wait() }

func (w *world) ack(id, by string) *Alert {
	w.t.Helper()
	a, err := w.desk.Acknowledge(w.t.Context(), id, by, "")
	if err != nil {
		w.t.Fatalf("acknowledging %s: %v", id, err)
	}
	synctest.Wait()
	return a
}

// alert returns the alert with id.
func (w *world) alert(id string) *Alert {
	w.t.Helper()
	list, err := w.desk.List(w.t.Context(), false)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, a := range list {
		if a.ID == id {
			return a
		}
	}
	w.t.Fatalf("there is no alert %s", id)
	return nil
}

// count is the number of records of a kind.
func (w *world) count(kind string) (n int) {
	_ = w.journal.Read(w.t.Context(), kind, func(recorder.Record) error { n++; return nil })
	return n
}

// want compares what a channel got.
func (w *world) want(p *postbox, want ...string) {
	w.t.Helper()
	if got := strings.Join(p.texts(), ", "); got != strings.Join(want, ", ") {
		w.t.Errorf("the channel got %s; want %s", got, strings.Join(want, ", "))
	}
}

var errDown = errors.New("connection refused")

// picky is a postbox that refuses messages with one alert.
type picky struct {
	postbox
	bad     string
	refused int
}

func (p *picky) Send(ctx context.Context, m Message) (string, error) {
	for _, n := range m.Notices {
		if n.Alert.ID == p.bad {
			p.refused++
			return "", Refused{errors.New("it answered 400")}
		}
	}
	return p.postbox.Send(ctx, m)
}
