package sip

import (
	"time"

	gosip "github.com/emiago/sipgo/sip"
	"go.uber.org/zap"
)

// onOptions answers for this node (RFC 3261 section 11): 503 while it drains,
// so that whoever routes to it goes elsewhere.
func (g *Guard) onOptions(req *gosip.Request, tx *gosip.ServerTx) {
	if g.Draining() {
		g.refuse(req, tx, 503)
		return
	}
	res := respond(req, 200, reasons[200], newToken())
	for _, h := range [][2]string{
		{"Allow", allow},
		{"Accept", "application/sdp, multipart/mixed"},
		{"Accept-Encoding", "identity"},
		{"Accept-Language", "en"},
		{"Supported", "replaces, timer, 100rel"},
		{"Date", time.Now().UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")},
	} {
		res.AppendHeader(gosip.NewHeader(h[0], h[1]))
	}
	if err := tx.Respond(res); err != nil {
		g.log.Debug("200 not sent", zap.Error(err))
	}
}
