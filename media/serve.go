package media

// setRemote takes over what signalling says of one stream, and what follows
// from it for the streams it is joined with.
func (l *loop) setRemote(s *stream, r Remote) {
	call := s.leg.sess
	defer l.arrange(call)
	s.setRemote(r, l.nat())
	if s.leg != call.caller {
		s.connect(call.caller.stream(s.index))
		return
	}
	s.events = eventSet(s.remote.Codecs, nil)
	for _, lg := range call.all {
		if t := lg.stream(s.index); t != nil && lg != call.caller {
			t.connect(s)
		}
	}
	switch {
	case call.mode == prompting:
		l.replay(s)
	case s.player != nil:
		l.quiet(s)
	}
}

// bridge joins the caller with a leg.
func (l *loop) bridge(call *session, lg *leg) {
	if lg.gone || call.mode == bridged && call.peer == lg {
		return
	}
	l.switchTo(call, bridged, lg)
}

// switchTo changes who serves the caller. Whatever comes next continues the
// stream that the caller hears.
func (l *loop) switchTo(call *session, m mode, peer *leg) {
	call.mode = m
	spoken := call.room != nil && call.room.spoken
	l.changePeer(call, peer)
	if call.caller == nil {
		return
	}
	for _, c := range call.caller.streams {
		c.ear.leave()
		if p := c.player; p != nil && p.text == nil && peer.stream(c.index) != nil {
			p.until, p.mute = l.now+holdOver, spoken // the caller is not left in silence until the first packet
		} else {
			l.quiet(c)
		}
	}
}

// prompt plays the prompt on every stream of the caller that can carry it.
func (l *loop) prompt(call *session) {
	if call.mode == prompting {
		return
	}
	l.switchTo(call, prompting, nil)
	if call.caller == nil {
		call.notify(Event{Kind: EventPrompt, At: l.engine.start.Add(l.now), Reason: "there is no caller"})
		return
	}
	tried := false
	for _, c := range call.caller.streams {
		if c.kind == Audio || c.kind == Text {
			tried = true
			l.replay(c)
		}
	}
	if !tried {
		call.notify(Event{Kind: EventPrompt, At: l.engine.start.Add(l.now), Reason: "the call has neither audio nor text"})
	}
}
