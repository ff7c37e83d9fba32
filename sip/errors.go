package sip

import "errors"

// ErrNoCall says that no call in progress has the given identifier.
var ErrNoCall = errors.New("no such call in progress")
