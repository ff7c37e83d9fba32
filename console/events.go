package console

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"holdline/recorder"
)

// keepAlive is how often a quiet stream says that it is alive, so that proxies
// do not cut it and a client notices a dead connection.
const keepAlive = 15 * time.Second

// getEvents streams the journal as server-sent events (HTML Living Standard,
// section 9.2): the record's number is the event's id, so that a client that
// reconnects with Last-Event-ID misses nothing.
func (c *Console) getEvents(w http.ResponseWriter, r *http.Request) {
	after, problem := c.startOf(r)
	if problem != nil {
		reply(w, http.StatusBadRequest, *problem)
		return
	}
	if !c.openStream(w, r) {
		return
	}
	defer func() { <-c.streams }()
	stream := c.o.Journal.Subscribe(after)
	defer stream.Close()
	c.follow(w, r, stream)
}

// openStream takes a place among the streams, which whoever gets it gives back;
// it answers itself, and returns false, when there is none or no stream is asked for.
func (c *Console) openStream(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return false
	}
	select {
	case c.streams <- struct{}{}:
		return true
	default:
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, fmt.Sprintf("%d event streams are open already", maxStreams), "close one, or read GET /v1/calls")
		return false
	}
}

// streamTo begins a stream of server-sent events and returns what sends a piece
// of it, false when the client is gone.
func (c *Console) streamTo(w http.ResponseWriter) func(text string) bool {
	rc := http.NewResponseController(w)
	_ = rc.SetReadDeadline(time.Time{}) // nothing more is read, and the stream has no end
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
	return func(text string) bool {
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := w.Write([]byte(text)); err != nil {
			return false
		}
		return rc.Flush() == nil
	}
}

// startOf returns the record after which the stream begins: what the client
// has seen last, or the newest record when it does not say.
func (c *Console) startOf(r *http.Request) (uint64, *failure) {
	name, value := "Last-Event-ID", r.Header.Get("Last-Event-ID")
	if value == "" {
		name, value = "after", r.URL.Query().Get("after")
	}
	if value == "" {
		return c.o.Journal.Last(), nil
	}
	after, err := strconv.ParseUint(value, 10, 63)
	if err != nil {
		return 0, &failure{fmt.Sprintf("%s is %q, not the number of a record", name, value), "send the id of the last event seen; 0 is the beginning"}
	}
	return after, nil
}

// follow writes events until the client goes away, the journal is closed or
// the console stops.
func (c *Console) follow(w http.ResponseWriter, r *http.Request, stream Stream) {
	send := c.streamTo(w)
	if !send("retry: 1000\n\n") {
		return
	}
	tick := time.NewTicker(keepAlive)
	defer tick.Stop()
	for ok := true; ok; {
		select {
		case <-r.Context().Done():
			return
		case <-c.stopping:
			return
		case <-tick.C:
			ok = c.stillIn(r) && send(": still here\n\n")
		case rec, open := <-stream.C():
			if !open {
				return
			}
			ok = send(event(rec))
		}
	}
}

// event renders a record. JSON has no line breaks, so data is one line.
func event(r recorder.Record) string {
	data, err := json.Marshal(r)
	if err != nil {
		data, _ = json.Marshal(failure{Error: fmt.Sprintf("record %d cannot be shown: %v", r.Seq, err)})
	}
	return fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", r.Seq, r.Kind, data)
}
