package console

import (
	"context"
	"errors"
	"net/http"

	"go.uber.org/zap"

	"holdline/console/browser"
	"holdline/sip"
)

// Browsers lets supervisors join calls with the browser; *browser.Gateway is one.
type Browsers interface {
	// Join answers a browser's offer. admit joins the call with the media of
	// the browser; left is called when the browser is gone.
	Join(ctx context.Context, offer string, admit browser.Admit, left func(sip.JoinView, string)) (sip.JoinView, string, error)
}

// joinAnswer is a supervisor's part, with the answer to a browser's offer.
type joinAnswer struct {
	sip.JoinView
	SDP string `json:"sdp,omitempty"`
}

// joinInBrowser brings the browser that sent the request into a call.
func (c *Console) joinInBrowser(w http.ResponseWriter, r *http.Request, body joinBody, by string) {
	if c.o.Browsers == nil {
		fail(w, http.StatusServiceUnavailable, "this node takes no supervisors in the browser",
			"switch console.webrtc on in its configuration, or join by phone with target")
		return
	}
	id := r.PathValue("id")
	ctx, cancel := context.WithTimeout(r.Context(), commitWait)
	defer cancel()
	admit := func(m sip.MediaEndpoint) (sip.JoinView, error) {
		return c.o.Calls.Join(ctx, id, sip.JoinRequest{Mode: body.Mode, By: by, Media: &m})
	}
	v, answer, err := c.o.Browsers.Join(ctx, body.SDP, admit, c.browserLeft)
	switch {
	case errors.Is(err, browser.ErrOffer):
		fail(w, http.StatusBadRequest, err.Error(), "send the offer of an RTCPeerConnection with one audio track; /static/join.js does it")
	case errors.Is(err, browser.ErrFull):
		fail(w, http.StatusServiceUnavailable, err.Error(), "leave a call with another browser first, or join by phone with target")
	case err != nil:
		c.joinRefused(w, id, err)
	default:
		c.log.Info("supervisor joins with a browser", zap.String("call", id), zap.String("join", v.ID))
		reply(w, http.StatusCreated, joinAnswer{v, answer})
	}
}

// browserLeft ends the part of a supervisor whose browser is gone.
func (c *Console) browserLeft(v sip.JoinView, why string) {
	ctx, cancel := context.WithTimeout(context.Background(), commitWait)
	defer cancel()
	if _, err := c.o.Calls.Leave(ctx, v.Call, v.ID, v.By+" ("+why+")"); err != nil &&
		!errors.Is(err, sip.ErrNoCall) && !errors.Is(err, sip.ErrNoJoin) {
		c.log.Warn("a browser that is gone could not be taken out of its call", zap.String("call", v.Call), zap.Error(err))
	}
}
