// Package console is Holdline's face to people and programs: the HTTP API, the
// live page, the event stream and the metrics. It reads the journal, shows
// calls and passes commands on to them through the small interfaces of
// Options; it decides nothing itself, and no call ever waits for it.
package console

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"holdline/console/access"
	"holdline/console/alerting"
	"holdline/console/sources"
	"holdline/recorder"
	"holdline/sip"
)

// Recordings finds the audio of calls.
type Recordings interface {
	// Open opens the recording of a call; the error wraps fs.ErrNotExist when
	// there is none, and is recorder.ErrLocked when it cannot be decrypted.
	Open(call string) (*recorder.Playable, error)
}

// Options is everything a Console is made of. Calls and Journal are required.
type Options struct {
	Calls      sip.Calls
	Journal    Journal
	Recordings Recordings                   // nil: nothing is recorded
	History    History                      // nil: past calls cannot be searched
	Evidence   Evidence                     // nil: no bundles can be made
	Positions  func() []sip.PositionView    // the positions now; nil: none are known
	Ready      func() []string              // why the node should get no new calls or is degraded; empty: ready
	Notes      func() []string              // what does not work and keeps no call from being taken; nil: nothing
	Sources    Sources                      // numbers of the other rooms, for the metrics
	Channels   []alerting.Channel           // over which people are told of alerts, beside the page
	Escalation []alerting.Step              // when which channels are told
	URL        string                       // under which people reach the console; "": http:// and its address
	Hosts      []string                     // names under which browsers may ask for the console, beside addresses
	Version    string                       // shown on the page and in the metrics
	Node       string                       // shown on the page
	Log        *zap.Logger                  // nil: silent
	Browsers   Browsers                     // lets supervisors join with a browser; nil: nobody can
	Listen     func() (net.Listener, error) // opens the socket
	Intake     *sources.Intake              // takes the word of other systems on intake; nil: none is taken
	Gate       *access.Gate                 // who may sign in; nil: nobody needs to
	Secure     bool                         // people reach the console over TLS
	TLS        *tls.Config                  // nil: plain HTTP
	Messages   Messages                     // finds the SIP messages of calls; nil: they are not kept
	Accounts                                // what is kept of callers and call takers
}

// Console is the HTTP server. Its methods may be called from any goroutine.
type Console struct {
	o        Options
	log      *zap.Logger
	server   *http.Server
	listener net.Listener
	metrics  *metrics
	forms    *template.Template // of signing in and users
	desk     *alerting.Desk
	streams  chan struct{} // one place for each event stream that may be open
	stopping chan struct{} // closed when streams must end
	stop     sync.Once
	running  sync.WaitGroup
	looks    looks // who has seen and played what
	meters   meters
}

// Limits of the server. They are generous for people and programs that behave,
// and keep one that does not from using up the process.
const (
	maxBody       = 64 << 10         // bytes of a request's body
	maxHeader     = 64 << 10         // bytes of a request's header
	maxStreams    = 256              // event streams open at once
	headerTimeout = 5 * time.Second  // to send the header of a request
	readTimeout   = 10 * time.Second // to send all of a request
	writeTimeout  = 30 * time.Second // to take an answer, or a piece of a long one
	idleTimeout   = 2 * time.Minute  // between requests of a connection
	commitWait    = 5 * time.Second  // for a call or the journal to take a command
)

// New builds a Console. It opens its socket, so that an address that is taken
// is an error here, and serves nothing before Start.
func New(o Options) (*Console, error) {
	if o.Calls == nil || o.Journal == nil || o.Listen == nil {
		return nil, errors.New("the console needs Calls, Journal and Listen")
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	o.complete(o.Journal)
	c := &Console{
		o:        o,
		log:      o.Log,
		streams:  make(chan struct{}, maxStreams),
		stopping: make(chan struct{}),
	}
	var err error
	if c.forms, err = template.ParseFS(files, "access.html"); err != nil {
		return nil, fmt.Errorf("preparing the sign-in: %w", err)
	}
	if c.listener, err = o.Listen(); err != nil {
		return nil, fmt.Errorf("opening the console: %w", err)
	}
	if o.TLS != nil {
		c.listener = tls.NewListener(c.listener, o.TLS)
	}
	c.meters.calls = o.Calls.List
	c.desk = c.newDesk()
	c.metrics = newMetrics(o, c.desk.Collector())
	c.server = &http.Server{
		Handler:           c.Handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          zap.NewStdLog(o.Log.WithOptions(zap.IncreaseLevel(zap.WarnLevel))),
	}
	return c, nil
}

// Addr returns the address the console listens on.
func (c *Console) Addr() net.Addr { return c.listener.Addr() }

// Start serves until Stop. It returns at once.
func (c *Console) Start() {
	c.desk.Start()
	c.running.Go(func() {
		if err := c.server.Serve(c.listener); !errors.Is(err, http.ErrServerClosed) {
			c.log.Error("console stopped serving", zap.Error(err))
		}
	})
}

// Stop ends the event streams, lets requests in progress finish until ctx is
// done, and closes the socket. It may be called more than once.
func (c *Console) Stop(ctx context.Context) error {
	c.stop.Do(func() { close(c.stopping) })
	err := c.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("stopping the console: %w", err), c.server.Close())
	}
	c.listener.Close() // when Start was never called, Shutdown does not know it
	c.running.Wait()
	c.desk.Stop()
	return err
}
