package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"holdline/cmd/holdline/config"
	"holdline/cmd/holdline/node"
	"holdline/console/alerting"
	"holdline/media"
	"holdline/policy"
	"holdline/recorder"
	"holdline/sip"
)

// alertCmd is what can be done about alerts from the command line.
type alertCmd struct {
	Test alertTestCmd `cmd:"" help:"Send a test over a channel and say what happened."`
}

// alertTestCmd tries one channel: through a running node, or without one.
type alertTestCmd struct {
	Channel string `arg:"" help:"Its name in alerts.channels."`
	Config  string `placeholder:"FILE" help:"The configuration that has the channel; no node needs to run." xor:"way"`
	Console string `placeholder:"ADDR" help:"The console of a running node, which sends the test and journals it." xor:"way"`
	Token   string `env:"HOLDLINE_TOKEN" hidden:"" help:"A token, where the console needs a sign-in."`
}

// testWait is how long a test may take, a phone that rings included.
const testWait = 5 * time.Minute

// Run implements the command.
func (c alertTestCmd) Run(a app) error {
	try := c.direct
	switch {
	case c.Console != "":
		try = c.throughNode
	case c.Config == "":
		return errors.New("name the configuration with --config FILE, or a running node with --console 127.0.0.1:8911")
	}
	ctx, cancel := context.WithTimeout(context.Background(), testWait)
	defer cancel()
	t, err := try(ctx)
	if err != nil {
		return err
	}
	where := t.Kind
	if t.Target != "" {
		where += ", " + t.Target
	}
	if !t.OK {
		return fmt.Errorf("channel %s (%s) failed after %d ms: %s", t.Channel, where, t.TookMS, t.Error)
	}
	_, err = fmt.Fprintf(a.out, "ok: channel %s (%s) took the test in %d ms: %s\n", t.Channel, where, t.TookMS, t.Detail)
	return err
}

// direct sends the test from this process.
func (c alertTestCmd) direct(ctx context.Context) (alerting.Tested, error) {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return alerting.Tested{}, fmt.Errorf("the configuration has problems\n%w", err)
	}
	phones := &borrowed{config: cfg}
	defer phones.close()
	channels := node.Channels(cfg, phones, nil)
	i := slices.IndexFunc(channels, func(ch alerting.Channel) bool { return ch.Name == c.Channel })
	if i < 0 {
		names := []string{}
		for _, ch := range channels {
			names = append(names, ch.Name)
		}
		if len(names) == 0 {
			return alerting.Tested{}, fmt.Errorf("%s has no channels; add some under alerts.channels", c.Config)
		}
		return alerting.Tested{}, fmt.Errorf("%s has no channel %q; it has %s", c.Config, c.Channel, strings.Join(names, ", "))
	}
	name := cfg.Node
	if name == "" {
		name = "holdline"
	}
	return alerting.Try(ctx, channels[i], name, node.ConsoleURL(cfg)), nil
}

// throughNode asks a running node to send the test.
func (c alertTestCmd) throughNode(ctx context.Context) (t alerting.Tested, err error) {
	base := c.Console
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return t, fmt.Errorf("--console %q is not an address; write it like 127.0.0.1:8911", c.Console)
	}
	u = u.JoinPath("/v1/channels", url.PathEscape(c.Channel), "test")
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader([]byte("{}")))
	if err != nil {
		return t, err
	}
	r.Header.Set("Content-Type", "application/json")
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}
	res, err := client.Do(r)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		return t, fmt.Errorf("no console answers at %s: %w; is holdline running there, and is this its console.listen?", c.Console, err)
	}
	defer res.Body.Close()
	var body struct {
		alerting.Tested
		Error string `json:"error"`
		Hint  string `json:"hint"`
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		return t, fmt.Errorf("what answers at %s (%s) is not a holdline console", c.Console, res.Status)
	}
	if res.StatusCode != http.StatusOK {
		return t, fmt.Errorf("%s (%s)", body.Error, body.Hint)
	}
	return body.Tested, nil
}

// borrowed is a SIP side for one test: sockets of its own on the addresses of
// the configuration, opened when a channel needs them.
type borrowed struct {
	config *config.Config
	guard  *sip.Guard
}

func (b *borrowed) open() (*sip.Guard, error) {
	if b.guard != nil {
		return b.guard, nil
	}
	o := sip.Options{Node: "alert test", Version: version(), Media: nobody{}, Journal: nobody{}}
	for _, l := range b.config.SIP.Listen {
		o.Listen = append(o.Listen, l.Network+"://"+netip.AddrPortFrom(l.Addr.Addr(), 0).String())
	}
	o.Settings = sip.Settings{
		Trust: config.Prefixes(b.config.SIP.Trust), NAT: config.Prefixes(b.config.SIP.NAT),
		Judge: func(policy.Facts) policy.Verdict { return policy.Verdict{} },
	}
	g, err := sip.New(o)
	if err != nil {
		return nil, err
	}
	g.Drain() // nobody calls these sockets
	if err := g.Start(); err != nil {
		return nil, fmt.Errorf("sip.listen: %w", err)
	}
	b.guard = g
	return g, nil
}

func (b *borrowed) close() {
	if b.guard != nil {
		_ = b.guard.Stop() // the test is over, whatever becomes of its sockets
	}
}

// Message implements alerting.Phones.
func (b *borrowed) Message(ctx context.Context, uri, text string) error {
	g, err := b.open()
	if err != nil {
		return err
	}
	return g.Message(ctx, uri, text)
}

// Ring implements alerting.Phones.
func (b *borrowed) Ring(ctx context.Context, uri, display string) error {
	g, err := b.open()
	if err != nil {
		return err
	}
	return g.Ring(ctx, uri, display)
}

// nobody is the media and the journal of a guard that takes no calls.
type nobody struct{}

// Open implements sip.Media.
func (nobody) Open(string, func(media.Event)) (media.Session, error) {
	return nil, errors.New("there are no calls")
}

// Append implements sip.Journal.
func (nobody) Append(...recorder.Entry) {}

// Commit implements sip.Journal.
func (nobody) Commit(done func(bool), _ ...recorder.Entry) { done(false) }
