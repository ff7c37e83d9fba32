package sources

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"holdline/policy/eido"
)

// subprotocol is the WebSocket subprotocol of EIDO conveyance (NENA-STA-024.1
// section 2.1.3.1).
const subprotocol = "emergency-ent1.0"

// maxMessage bounds a message of a service, in bytes: a notification may carry
// several documents with pictures in them.
const maxMessage = 8 << 20

// The messages of the protocol (NENA-STA-024.1 section 2.1.5). Each is an
// object with one member, named after what it is.
type (
	subscribeBody struct {
		RequestID      string `json:"requestId"`
		Type           string `json:"requestType,omitempty"`
		SubType        string `json:"requestSubType,omitempty"`
		Accepts        string `json:"requestAccepts,omitempty"`
		SubscriptionID string `json:"subscriptionId,omitempty"`
		Expires        int    `json:"expires,omitempty"` // seconds
	}
	answerBody struct {
		RequestID      string `json:"requestId,omitempty"`
		TransactionID  string `json:"transactionId,omitempty"`
		SubscriptionID string `json:"subscriptionId,omitempty"`
		StatusCode     int    `json:"statusCode"`
		StatusText     string `json:"statusText"`
	}
	subscribedBody struct {
		answerBody
		Expires int `json:"expires"`
	}
	eventBody struct {
		SubscriptionID string          `json:"subscriptionId"`
		TransactionID  string          `json:"transactionId"`
		Notification   json.RawMessage `json:"notification"`
	}
	terminateBody struct {
		RequestID      string `json:"requestId"`
		SubscriptionID string `json:"subscriptionId"`
	}

	sent struct {
		Subscribe         *subscribeBody `json:"subscribe,omitempty"`
		Unsubscribe       *terminateBody `json:"unsubscribe,omitempty"`
		EventResponse     *answerBody    `json:"eventResponse,omitempty"`
		TerminateResponse *answerBody    `json:"terminateResponse,omitempty"`
	}
	received struct {
		SubscribeResponse *subscribedBody `json:"subscribeResponse"`
		Event             *eventBody      `json:"event"`
		Terminate         *terminateBody  `json:"terminate"`
		Response          *answerBody     `json:"response"` // 501: what we sent is not known there
	}
)

// conversation is one connection to a service.
type conversation struct {
	*client
	conn    *websocket.Conn
	request string      // of the subscribe that is not answered yet
	id      string      // of the subscription; "" before there is one
	timer   *time.Timer // of the next subscribe, or of its answer
}

// errEnded says that the service ended the subscription.
var errEnded = errors.New("the service ended the subscription")

// session connects, subscribes, and takes notifications until the connection
// ends.
func (c *client) session(ctx context.Context) error {
	dialing, done := context.WithTimeout(ctx, c.in.pace.answer)
	defer done()
	conn, res, err := websocket.Dial(dialing, c.URL, c.dialOptions()) //nolint:bodyclose // the library closes it
	if err != nil {
		if res != nil && res.StatusCode != http.StatusSwitchingProtocols {
			return fmt.Errorf("the service answered %s to the connection", res.Status)
		}
		return fmt.Errorf("it cannot be reached: %w", rootOf(err))
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(maxMessage)
	// Reading ends with the conversation and not with ctx, which would close the
	// connection before the service is told goodbye.
	open, closing := context.WithCancel(context.WithoutCancel(ctx))
	defer closing()
	v := &conversation{client: c, conn: conn}
	messages := make(chan received)
	broken := make(chan error, 2)
	c.in.running.Go(func() { broken <- c.guarded(func() error { return v.read(open, messages) }) })
	c.in.running.Go(func() { broken <- c.guarded(func() error { return v.ping(open) }) })
	return v.talk(ctx, messages, broken)
}

// rootOf is an error without the words that the library wraps it in.
func rootOf(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

func (c *client) dialOptions() *websocket.DialOptions {
	o := &websocket.DialOptions{Subprotocols: []string{subprotocol}, HTTPHeader: http.Header{}}
	if c.Token != "" {
		o.HTTPHeader.Set("Authorization", "Bearer "+c.Token)
	}
	if c.TLS != nil {
		o.HTTPClient = &http.Client{Transport: &http.Transport{TLSClientConfig: c.TLS, Proxy: http.ProxyFromEnvironment}}
	}
	return o
}

// talk holds the subscription. It leaves in peace when ctx is done.
func (v *conversation) talk(ctx context.Context, messages <-chan received, broken <-chan error) error {
	v.timer = time.NewTimer(time.Hour)
	defer v.timer.Stop()
	if err := v.ask(ctx); err != nil {
		return err
	}
	for {
		select {
		case m := <-messages:
			if err := v.take(ctx, m); err != nil {
				return err
			}
		case <-v.timer.C:
			if v.request != "" {
				return errors.New("the service does not answer the subscribe request")
			}
			if err := v.ask(ctx); err != nil {
				return err
			}
		case err := <-broken:
			return err
		case <-ctx.Done():
			v.leave()
			return nil
		}
	}
}

// ask subscribes to all incidents, or renews the subscription.
func (v *conversation) ask(ctx context.Context) error {
	v.request = rand.Text()
	s := &subscribeBody{RequestID: v.request, SubscriptionID: v.id, Expires: int(v.Expires / time.Second)}
	if v.id == "" {
		s.Type, s.SubType, s.Accepts = "EIDO", "new", eido.MediaType+";version=\"1.0\""
	}
	v.timer.Reset(v.in.pace.answer)
	return v.send(ctx, sent{Subscribe: s})
}

// leave ends the subscription as far as that is possible in a moment.
func (v *conversation) leave() {
	impatient := time.AfterFunc(time.Second, func() { _ = v.conn.CloseNow() })
	defer impatient.Stop()
	if v.id != "" {
		_ = v.send(context.Background(), sent{Unsubscribe: &terminateBody{rand.Text(), v.id}}) // it expires without it, too
	}
	// The service closes, too: cutting the connection could cost it what was said.
	_ = v.conn.Close(websocket.StatusNormalClosure, "")
}

// take handles one message.
func (v *conversation) take(ctx context.Context, m received) error {
	switch {
	case m.SubscribeResponse != nil:
		return v.subscribed(m.SubscribeResponse)
	case m.Event != nil:
		return v.notified(ctx, m.Event)
	case m.Terminate != nil:
		err := v.send(ctx, sent{TerminateResponse: &answerBody{
			RequestID: m.Terminate.RequestID, SubscriptionID: m.Terminate.SubscriptionID, StatusCode: 200, StatusText: "OK",
		}})
		return errors.Join(errEnded, err)
	case m.Response != nil:
		return fmt.Errorf("the service answered %d %s", m.Response.StatusCode, m.Response.StatusText)
	}
	return nil // what is not known is passed over
}

// subscribed takes the answer to a subscribe. A subscription that the service
// does not know any more is made anew.
func (v *conversation) subscribed(r *subscribedBody) error {
	if r.RequestID != v.request {
		return nil
	}
	v.request = ""
	if r.StatusCode != 200 {
		return fmt.Errorf("the service refused the subscription: %d %s", r.StatusCode, r.StatusText)
	}
	if r.SubscriptionID != "" {
		v.id = r.SubscriptionID
	}
	length := time.Duration(r.Expires) * time.Second
	if length <= 0 {
		length = v.Expires
	}
	v.timer.Reset(max(length*4/5, time.Second))
	if !v.connected.Load() {
		v.works()
	}
	return nil
}

// notified joins the documents of a notification and acknowledges it. One that
// cannot be read is acknowledged as that: the service is not to send it again.
// A notification without documents only says that the service is there.
func (v *conversation) notified(ctx context.Context, e *eventBody) error {
	a := &answerBody{TransactionID: e.TransactionID, StatusCode: 200, StatusText: "OK"}
	if text := strings.TrimSpace(string(e.Notification)); text != "" && text != "[]" && text != "null" {
		joining, done := context.WithTimeout(ctx, joinLimit)
		_, err := v.in.Documents(joining, e.Notification, v.URL, EIDO)
		done()
		if err != nil {
			a.StatusCode, a.StatusText = 400, err.Error()
			v.log.Warn("notification of an EIDO service not understood", zap.Error(err))
		}
	}
	return v.send(ctx, sent{EventResponse: a})
}

func (v *conversation) send(ctx context.Context, m sent) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing a message: %w", err)
	}
	// A context that ends while something is written would cut the connection.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.in.pace.answer)
	defer cancel()
	if err := v.conn.Write(ctx, websocket.MessageText, text); err != nil {
		return fmt.Errorf("sending to the service: %w", err)
	}
	return nil
}

// read hands on what comes, until the connection ends. What is no message of
// the protocol is passed over.
func (v *conversation) read(ctx context.Context, messages chan<- received) error {
	for {
		_, text, err := v.conn.Read(ctx)
		if err != nil {
			return fmt.Errorf("the connection ended: %w", err)
		}
		var m received
		if err := json.Unmarshal(text, &m); err != nil {
			v.in.counts.refused.Add(1)
			v.log.Warn("message of an EIDO service is not JSON", zap.Error(err))
			continue
		}
		select {
		case messages <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ping notices a service that is gone without a word.
func (v *conversation) ping(ctx context.Context) error {
	tick := time.NewTicker(v.in.pace.ping)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			answer, done := context.WithTimeout(ctx, v.in.pace.answer)
			err := v.conn.Ping(answer)
			done()
			if err != nil {
				return fmt.Errorf("the service does not answer a ping: %w", err)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
