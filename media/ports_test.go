package media

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestPortsComeInPairsAndRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.PortLo, o.PortHi = 20001, 20008 }) // 20002, 20004, 20006
		used := h.listen(netip.MustParseAddrPort("10.0.0.1:20005"))              // somebody else's
		defer used.Close()
		s := h.open()
		add := func() (LegID, Ports) {
			id, p, err := s.AddLeg([]Kind{Audio}, false)
			if err != nil {
				t.Fatal(err)
			}
			if p[0].RTCP.Port() != p[0].RTP.Port()+1 || p[0].RTP.Port()%2 != 0 {
				t.Fatalf("not a pair: %v", p)
			}
			synctest.Wait()
			return id, p[0]
		}
		a, p := add()
		same(t, "first", p.RTP.Port(), 20002)
		_, p = add()
		same(t, "the pair in use is left out", p.RTP.Port(), 20006)
		_, p = add()
		if p.RTP.Port() < 30000 {
			t.Errorf("a port of the range was given twice: %v", p)
		}
		s.DropLeg(a)
		synctest.Wait()
		time.Sleep(DefaultQuarantine - time.Millisecond)
		if _, p = add(); p.RTP.Port() < 30000 {
			t.Errorf("%v had not rested", p)
		}
		time.Sleep(time.Millisecond)
		_, p = add()
		same(t, "after its rest", p.RTP.Port(), 20002)
		_, ports := h.engine.InUse()
		same(t, "ports bound", ports, 8)
		s.Close(nil)
		synctest.Wait()
		_, ports = h.engine.InUse()
		same(t, "ports bound at the end", ports, 0)
	})
}

func TestAStrayPacketReachesNoOtherCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.PortLo, o.PortHi = 20000, 20003 })
		stray := h.phone("192.0.2.9:4000")
		old := h.open()
		h.join(old, stray, stray.remote(pcmu))
		old.Close(nil)
		synctest.Wait()
		caller, taker := h.phone("192.0.2.1:4000"), h.phone("192.0.2.2:5000")
		s := h.open()
		h.join(s, caller, caller.remote(pcmu))
		s.Bridge(h.join(s, taker, taker.remote(pcmu)))
		stray.speak(3)
		same(t, "packets", len(taker.take())+len(caller.take()), 0)
		same(t, "reached a port at all", h.engine.Stats().Refused, 0)
	})
}

func TestStreamsOfOneCallAreKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		audio, video, desk, camera := h.phone("192.0.2.1:4000"), h.phone("192.0.2.1:4002"), h.phone("192.0.2.2:5000"), h.phone("192.0.2.2:5002")
		h264 := Codec{PT: 99, Name: "H264", Rate: 90000}
		s := h.open()
		id := h.join(s, audio, audio.remote(pcmu))
		ports, err := s.AddStreams(id, []Kind{Video})
		if err != nil {
			t.Fatal(err)
		}
		video.to = ports[0]
		s.SetRemote(id, 1, video.remote(h264))
		leg, both, err := s.AddLeg([]Kind{Audio, Video}, false)
		if err != nil {
			t.Fatal(err)
		}
		desk.to, camera.to = both[0], both[1]
		s.SetRemote(leg, 0, desk.remote(pcmu))
		s.SetRemote(leg, 1, camera.remote(h264))
		s.Bridge(leg)
		desk.speak(2)
		camera.speak(3)
		video.speak(1)
		same(t, "audio", len(audio.take()), 2)
		same(t, "video", len(video.take()), 3)
		same(t, "camera", len(camera.take()), 1)
		same(t, "statistics", len(s.Stats(leg)), 2)
		s.Prompt()
		time.Sleep(100 * time.Millisecond)
		same(t, "no prompt as video", len(video.take()), 0)
		same(t, "prompt", len(audio.take()), 6) // one at once: the desk paused
	})
}

func TestAWrongLegIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		s := h.open()
		if _, err := s.AddStreams(3, []Kind{Audio}); err == nil {
			t.Error("streams were added to no leg")
		}
		s.SetRemote(5, 0, Remote{})
		s.SetRemote(-1, 0, Remote{})
		s.Bridge(9)
		s.DropLeg(9)
		s.Prompt()
		if s.Stats(4) != nil {
			t.Error("statistics of no leg")
		}
		synctest.Wait()
		same(t, "failures", h.engine.Stats().Panics, 0)
	})
}

func TestOptionsThatCannotWorkAreExplained(t *testing.T) {
	v4 := netip.MustParseAddr("10.0.0.1")
	tests := map[string]Options{
		"no address":    {},
		"wildcard":      {Addresses: []netip.Addr{netip.IPv4Unspecified()}},
		"two of one":    {Addresses: []netip.Addr{v4, netip.MustParseAddr("10.0.0.2")}},
		"empty range":   {Addresses: []netip.Addr{v4}, PortLo: 20001, PortHi: 20002},
		"upside down":   {Addresses: []netip.Addr{v4}, PortLo: 30000, PortHi: 20000},
		"the last port": {Addresses: []netip.Addr{v4}, PortLo: 65535, PortHi: 65535},
		"no beginning":  {Addresses: []netip.Addr{v4}, PortHi: 20000},
		"negative":      {Addresses: []netip.Addr{v4}, Loops: -1},
	}
	for name, o := range tests {
		o.Network = NewMemoryNetwork()
		if e, err := New(o); err == nil {
			_ = e.Close()
			t.Errorf("%s was accepted", name)
		}
	}
}

// fewFiles is a network of a process that may open few files.
type fewFiles struct{ Network }

func (fewFiles) FileLimit() int { return 8 }

// TestFilesAreLeftForOthers: media takes three quarters of the files at most, so
// that the journal, recordings and signalling still work.
func TestFilesAreLeftForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.Network = fewFiles{o.Network} })
		s := h.open()
		var first LegID
		for n := range 3 {
			id, _, err := s.AddLeg([]Kind{Audio}, false)
			if err != nil {
				t.Fatalf("leg %d: %v", n, err)
			}
			if n == 0 {
				first = id
			}
		}
		if _, _, err := s.AddLeg([]Kind{Audio}, false); !errors.Is(err, ErrFiles) {
			t.Errorf("a seventh and an eighth file: %v", err)
		}
		s.DropLeg(first)
		synctest.Wait()
		if _, _, err := s.AddLeg([]Kind{Audio}, false); err != nil {
			t.Errorf("when two are free again: %v", err)
		}
	})
}
