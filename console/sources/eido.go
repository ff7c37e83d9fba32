package sources

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"holdline/policy"
	"holdline/policy/eido"
	"holdline/recorder"
)

// Received is what became of one EIDO.
type Received struct {
	Issuer    string                  `json:"issuer,omitempty"`
	Named     []string                `json:"named"`     // the calls and incidents that it names
	Marks     map[policy.Field]string `json:"marks"`     // what it establishes
	Completes bool                    `json:"completes"` // by itself it proves an intake
	Joined
}

// receivedData is eido.received.
type receivedData struct {
	Digest string `json:"digest"` // hex SHA-256 of the message that it came in
	Bytes  int    `json:"bytes"`
	Source string `json:"source"`
	By     string `json:"by"`
	Received
}

// Documents takes the EIDOs of a message, from whom and by which way it came.
// Each is journaled and joined to its calls.
func (in *Intake) Documents(ctx context.Context, message []byte, by, source string) ([]Received, error) {
	docs, err := eido.Parse(message)
	if err != nil {
		in.counts.refused.Add(1)
		return nil, fmt.Errorf("reading the EIDO: %w", err)
	}
	sum := sha256.Sum256(message)
	out := make([]Received, 0, len(docs))
	var entries []recorder.Entry
	for _, d := range docs {
		in.counts.documents.Add(1)
		r := Received{Issuer: d.Issuer, Named: d.Identifiers(), Marks: d.Marks(), Completes: d.Complete()}
		if r.Marks == nil {
			r.Marks = map[policy.Field]string{}
		}
		r.Joined = in.Join(ctx, Word{IDs: r.Named, Marks: r.Marks, By: by, Source: source})
		out = append(out, r)
		if len(r.Marks) == 0 && !in.allowed() {
			continue // call data that proves nothing, and too much of it
		}
		entries = append(entries, recorder.Entry{Time: in.o.Now(), Call: r.Call(), Kind: "eido.received", Data: receivedData{
			Digest: hex.EncodeToString(sum[:]), Bytes: len(message), Source: source, By: by, Received: r,
		}})
	}
	if len(entries) > 0 {
		in.commit(ctx, entries...)
	}
	return out, nil
}
