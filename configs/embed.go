// Package configs holds the files that come with Holdline: the annotated
// sample configuration, which is also the configuration in the binary.
package configs

import _ "embed"

// Holdline is configs/holdline.yaml: the manual of the configuration, and
// what `holdline serve` runs with when no file is named.
//
//go:embed holdline.yaml
var Holdline []byte
