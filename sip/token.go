package sip

import "crypto/rand"

// newToken is a new tag, branch or identifier of 26 characters that nobody
// can guess (RFC 3261 section 19.3 asks for 32 bits at least; this has 130).
func newToken() string { return rand.Text() }
