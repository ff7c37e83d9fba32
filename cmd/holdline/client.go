package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// consoleFlag is how a command finds the console of a running node.
type consoleFlag struct {
	Console string `default:"127.0.0.1:8911" placeholder:"ADDR" help:"The address of the console."`
	Token   string `env:"HOLDLINE_TOKEN" hidden:"" help:"A token, where the console needs a sign-in; from the environment, because others see command lines."`
}

// consoleWait is how long a console may take to answer.
const consoleWait = 10 * time.Second

// ask sends a request to a console and reads its answer into out. body nil
// sends none.
func (f consoleFlag) ask(method, path string, body, out any) error {
	base := f.Console
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("--console %q is not an address; write it like 127.0.0.1:8911", f.Console)
	}
	at, query, _ := strings.Cut(path, "?")
	u = u.JoinPath(at)
	u.RawQuery = query
	ctx, cancel := context.WithTimeout(context.Background(), consoleWait)
	defer cancel()
	r, err := newRequest(ctx, method, u.String(), body)
	if err != nil {
		return fmt.Errorf("--console %q: %w", f.Console, err)
	}
	if f.Token != "" {
		r.Header.Set("Authorization", "Bearer "+f.Token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}
	res, err := client.Do(r)
	if err != nil {
		if ue, ok := errors.AsType[*url.Error](err); ok {
			err = ue.Err
		}
		return fmt.Errorf("no console answers at %s: %w; is holdline running there, and is this its console.listen?", f.Console, err)
	}
	defer res.Body.Close()
	return f.read(res, out)
}

func newRequest(ctx context.Context, method, url string, body any) (*http.Request, error) {
	if body == nil {
		return http.NewRequestWithContext(ctx, method, url, nil)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(text))
	if err == nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, err
}

// read takes an answer: what was asked for, or what the console says is wrong.
func (f consoleFlag) read(res *http.Response, out any) error {
	const most = 64 << 20 // bytes; the list of a large centre is far smaller
	text, err := io.ReadAll(io.LimitReader(res.Body, most))
	var wrong struct{ Error, Hint string }
	if err == nil {
		err = json.Unmarshal(text, &wrong)
	}
	switch {
	case err == nil && wrong.Error != "" && wrong.Hint != "":
		return fmt.Errorf("the console at %s says: %s; %s", f.Console, wrong.Error, wrong.Hint)
	case err == nil && wrong.Error != "":
		return fmt.Errorf("the console at %s says: %s", f.Console, wrong.Error)
	case err == nil && res.StatusCode == http.StatusOK:
		err = json.Unmarshal(text, out)
	}
	if err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("what answers at %s (%s) is not a holdline console", f.Console, res.Status)
	}
	return nil
}

// user is who gives a command, for the journal: whoever says so, which is a
// claim, or the user of this system.
func user(by string) string {
	if by != "" {
		return by
	}
	return systemUser()
}
