package sip

import "holdline/media"

// noMedia stands in when media cannot be opened: the call goes on, with the
// SDP passed as it is, so that the parties send to each other directly.
type noMedia struct{}

var _ media.Session = noMedia{}

func (noMedia) AddLeg(kinds []media.Kind, _ bool) (media.LegID, []media.Ports, error) {
	return 0, make([]media.Ports, len(kinds)), nil
}

func (noMedia) AddStreams(_ media.LegID, kinds []media.Kind) ([]media.Ports, error) {
	return make([]media.Ports, len(kinds)), nil
}
func (noMedia) SetRemote(media.LegID, int, media.Remote) {}
func (noMedia) Bridge(media.LegID)                       {}
func (noMedia) Prompt()                                  {}
func (noMedia) Silence()                                 {}
func (noMedia) Attend(media.LegID, media.Mode)           {}
func (noMedia) WatchCodes(media.LegID, []string)         {}
func (noMedia) Record(uint32)                            {}
func (noMedia) DropLeg(media.LegID)                      {}
func (noMedia) Stats(media.LegID) []media.StreamStats    { return nil }
func (noMedia) Close(done func()) {
	if done != nil {
		done()
	}
}
