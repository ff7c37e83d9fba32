//go:build !linux

package media

import "errors"

// newKernelNetwork exists on Linux alone, where Holdline runs in production;
// elsewhere the package builds, and works with an injected Network.
func newKernelNetwork() (Network, error) {
	return nil, errors.New("media ports need Linux (epoll); on this system set Options.Network")
}
