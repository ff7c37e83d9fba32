package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"filippo.io/age"
)

// Encrypt says for whom finished recordings are encrypted.
type Encrypt struct {
	Recipients []Recipient `yaml:"recipients"`
	Identity   string      `yaml:"identity"`

	identities []age.Identity
}

// Recipient is the public half of an age identity.
type Recipient struct {
	age.Recipient
	text string
}

// UnmarshalText reads "age1...".
func (r *Recipient) UnmarshalText(text []byte) error {
	got, err := age.ParseRecipients(strings.NewReader(string(text)))
	if err != nil || len(got) != 1 {
		return fmt.Errorf("%s is not an age recipient; `age-keygen` prints one, it begins with age1", quote(string(text)))
	}
	r.Recipient, r.text = got[0], string(text)
	return nil
}

// String returns the recipient as it is written in a file.
func (r Recipient) String() string { return r.text }

// For returns the recipients as the library's type.
func (e Encrypt) For() []age.Recipient {
	out := make([]age.Recipient, len(e.Recipients))
	for i, r := range e.Recipients {
		out[i] = r.Recipient
	}
	return out
}

// Identities open recordings on this node; none when no file is named.
func (e Encrypt) Identities() []age.Identity { return e.identities }

// Equal tells whether two files say the same.
func (e Encrypt) Equal(o Encrypt) bool {
	return e.Identity == o.Identity && slices.EqualFunc(e.Recipients, o.Recipients, func(a, b Recipient) bool { return a.text == b.text })
}

// readIdentities reads a file of age identities, the private halves.
func readIdentities(path string) ([]age.Identity, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	ids, err := age.ParseIdentities(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("it has no identities as `age-keygen` writes them: %w", err)
	}
	return ids, nil
}
