package sources

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// pace is how a lost subscription is sought again, and how a live one is kept.
type pace struct {
	first, most time.Duration // wait before the second try, and at most
	ping        time.Duration // between two pings
	answer      time.Duration // for a pong, a response, a connection
}

var usualPace = pace{first: time.Second, most: time.Minute, ping: 20 * time.Second, answer: 10 * time.Second}

// client keeps one subscription to an EIDO service.
type client struct {
	Subscription
	in        *Intake
	log       *zap.Logger
	connected atomic.Bool // subscribed now

	mu    sync.Mutex
	why   string // what keeps it from being subscribed; "" when nothing does
	since time.Time
}

func sameSubscriptions(a, b []Subscription) bool {
	return slices.EqualFunc(a, b, func(x, y Subscription) bool {
		// TLS settings that are read anew are new ones: their files may have changed.
		return x.URL == y.URL && x.Token == y.Token && x.Expires == y.Expires && x.TLS == nil && y.TLS == nil
	})
}

// subscribe replaces the subscriptions.
func (in *Intake) subscribe(list []Subscription) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.stop != nil {
		in.stop()
	}
	in.clients, in.stop = nil, nil
	if in.closed || len(list) == 0 {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	in.stop = stop
	for _, s := range list {
		c := &client{Subscription: s, in: in, log: in.log.With(zap.String("service", s.URL)), why: "not connected yet", since: in.o.Now()}
		in.clients = append(in.clients, c)
		in.running.Go(func() { c.run(ctx) })
	}
}

// run connects, subscribes and listens, and begins again when that ends, until
// ctx is done. The waits grow and are spread, so that a service that comes back
// is not met by everybody at once.
func (c *client) run(ctx context.Context) {
	wait := c.in.pace.first
	for ctx.Err() == nil {
		began := c.in.o.Now()
		err := c.guarded(func() error { return c.session(ctx) })
		was := c.connected.Swap(false)
		if ctx.Err() != nil {
			return
		}
		if was && c.in.o.Now().Sub(began) > c.in.pace.most {
			wait = c.in.pace.first // it had been fine for a while
		}
		c.failed(err)
		timer := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		wait = min(2*wait, c.in.pace.most)
	}
}

// guarded runs f. A panic in it is a bug of ours and costs a connection alone.
func (c *client) guarded(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.log.Error("panic recovered", zap.String("in", "an EIDO subscription"), zap.Any("panic", r), zap.Stack("stack"))
			err = errors.New("a failure of our own; the log has the details")
		}
	}()
	return f()
}

func (c *client) failed(err error) {
	why := "the service ended the connection"
	if err != nil {
		why = err.Error()
	}
	c.mu.Lock()
	again := c.why == why
	c.why = why
	c.mu.Unlock()
	if !again { // a service that is down for hours is one line in the log
		c.log.Warn("EIDO subscription lost, trying again", zap.String("reason", why))
	}
}

func (c *client) works() {
	c.connected.Store(true)
	c.mu.Lock()
	c.why = ""
	c.mu.Unlock()
	c.log.Info("subscribed to an EIDO service")
}

func (c *client) trouble() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}
