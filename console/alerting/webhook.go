package alerting

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The headers of a webhook, beside the usual ones.
const (
	headerSignature = "Holdline-Signature" // sha256= and the hex HMAC-SHA256 of the body
	headerSequence  = "Holdline-Sequence"  // the number that is in the body as well
)

// Webhook posts alerts in the format of Alertmanager's webhook receiver,
// version 4, so that whatever takes those takes ours.
type Webhook struct {
	URL    string
	Secret []byte // signs the body; empty: it is not signed
	Client *http.Client
}

// webhookBody is Alertmanager's body, with the number of the message.
type webhookBody struct {
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
	Status            Event             `json:"status"`
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []webhookAlert    `json:"alerts"`
	Sequence          uint64            `json:"sequence"` // counts the messages of this channel; 0 is a test
}

type webhookAlert struct {
	Status       Event             `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"` // year 1 while it fires, as Alertmanager does
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
	Holdline     Alert             `json:"holdline"` // all of it, as GET /v1/alerts has it
}

// Send implements Sender.
func (h Webhook) Send(ctx context.Context, m Message) (string, error) {
	body, err := json.Marshal(h.body(m))
	if err != nil {
		return "", Refused{fmt.Errorf("writing the body: %w", err)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return "", withoutURL(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Holdline")
	req.Header.Set(headerSequence, strconv.FormatUint(m.Seq, 10))
	if len(h.Secret) > 0 {
		req.Header.Set(headerSignature, Sign(h.Secret, body))
	}
	client := h.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return "", withoutURL(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	switch {
	case res.StatusCode/100 == 2:
		return res.Status, nil
	case res.StatusCode == http.StatusBadRequest, res.StatusCode == http.StatusRequestEntityTooLarge, res.StatusCode == http.StatusUnprocessableEntity:
		return "", Refused{errors.New("it answered " + res.Status)}
	}
	return "", errors.New("it answered " + res.Status)
}

// Sign is the signature of a body: what a receiver compares, in constant time,
// with the header Holdline-Signature.
func Sign(secret, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// withoutURL takes the URL out of an error: it may have a token in it.
func withoutURL(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		if ue.Timeout() {
			return errors.New("no answer in time")
		}
		return ue.Err
	}
	return err
}

// Redacted is a URL as it may be shown: without a password, query or path that
// may be a token.
func Redacted(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return ""
	}
	path := u.Path
	if strings.Count(path, "/") > 1 || len(path) > 24 {
		path = "/..."
	}
	return u.Scheme + "://" + u.Host + path
}

func (h Webhook) body(m Message) webhookBody {
	b := webhookBody{
		Version: "4", GroupKey: "holdline:" + m.Node, Status: Over, Receiver: m.Channel, ExternalURL: m.Console,
		GroupLabels: map[string]string{"node": m.Node}, Sequence: m.Seq, Alerts: []webhookAlert{},
	}
	for _, n := range m.Notices {
		if n.Event == Firing {
			b.Status = Firing
		}
		b.Alerts = append(b.Alerts, webhookOne(m, n))
	}
	labels, annotations := []map[string]string{}, []map[string]string{}
	for _, a := range b.Alerts {
		labels, annotations = append(labels, a.Labels), append(annotations, a.Annotations)
	}
	b.CommonLabels, b.CommonAnnotations = common(labels), common(annotations)
	return b
}

// webhookOne is one alert in Alertmanager's words. The fingerprint is the same
// for every message about the alert.
func webhookOne(m Message, n Notice) webhookAlert {
	a := n.Alert
	sum := sha256.Sum256([]byte(a.Node + "\n" + a.ID))
	var f facts
	_ = json.Unmarshal(a.Data, &f) // labels that cannot be read are left out
	out := webhookAlert{
		Status: n.Event, StartsAt: a.Raised, EndsAt: n.Ends, GeneratorURL: m.Console, Fingerprint: hex.EncodeToString(sum[:8]),
		Labels: filled(map[string]string{
			"alertname": "Holdline", "cause": a.Cause, "severity": string(a.Severity), "node": a.Node, "alert": a.ID,
			"call": a.Call, "position": f.Position, "agent": f.Agent, "rule": f.Rule,
		}),
		Annotations: map[string]string{"summary": a.Summary, "description": strings.Join(n.Lines(), "\n")},
		Holdline:    a,
	}
	if s := a.Situation; s != nil {
		maps.Copy(out.Annotations, filled(map[string]string{
			"from": s.From, "intake": intakeWords(s), "with": whom(s.With, s.Agent), "call_state": s.State,
		}))
		if !s.Waiting.IsZero() {
			out.Annotations["waiting"] = clock(time.Since(s.Waiting))
		}
	}
	if n.Why != "" {
		out.Annotations["resolved"] = n.Why
	}
	return out
}

// filled leaves out what is empty: Prometheus takes an empty label for none.
func filled(m map[string]string) map[string]string {
	for k, v := range m {
		if v == "" {
			delete(m, k)
		}
	}
	return m
}

// common is what all of the maps have.
func common(all []map[string]string) map[string]string {
	out := maps.Clone(all[0])
	for _, m := range all[1:] {
		for k, v := range out {
			if m[k] != v {
				delete(out, k)
			}
		}
	}
	return out
}
