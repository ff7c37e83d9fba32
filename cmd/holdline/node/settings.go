package node

import (
	"strings"

	"go.uber.org/zap"

	"holdline/cmd/holdline/config"
	"holdline/policy"
	"holdline/sip"
)

// settings is the part of a configuration that the guard can take over while
// calls are up.
func settings(c *config.Config) sip.Settings {
	s := sip.Settings{
		Trust:         config.Prefixes(c.SIP.Trust),
		DeadAfter:     c.SIP.DeadAfter.Std(),
		NAT:           config.Prefixes(c.SIP.NAT),
		Watch:         sip.Watch{Interval: c.SIP.Watch.Interval.Std(), Failures: c.SIP.Watch.Failures},
		IntakeHeader:  c.Intake.Header,
		IntakeTrust:   config.Prefixes(c.Intake.Trust),
		IntakeDTMF:    c.Intake.DTMF,
		DisplayPrefix: c.Rescue.DisplayPrefix,
		RedialPrefix:  c.Redials.DisplayPrefix,
		PersonalData:  c.Log.PersonalData,
		Supervisors:   supervisors(c),
	}
	s.Vigil, s.TransferTo = vigil(c.Vigil), c.Transfer.Allow
	rules := c.Policy.Rules()
	s.Judge, s.Complete = rules.Judge, rules.Complete
	if c.Intake.Trust == nil { // left out; an empty list means nobody
		s.IntakeTrust = s.Trust
	}
	for _, p := range c.Positions {
		s.Positions = append(s.Positions, sip.Position{ID: p.ID, URI: p.URI, Agent: p.Agent, Calls: p.Calls})
	}
	for _, r := range c.Routes {
		s.Routes = append(s.Routes, sip.Route{Match: r.Match, To: r.To, Ring: r.Ring.Std(), Kind: policy.CallKind(r.Kind)})
	}
	for _, t := range c.Fallback {
		s.Fallback = append(s.Fallback, sip.Tier{To: t.To, Strategy: sip.Strategy(t.Strategy), Ring: t.Ring.Std()})
	}
	return s
}

// vigil is what of takers who are not there is borne for how long.
func vigil(v config.Vigil) sip.Vigil {
	patience := func(p config.Patience) sip.Patience {
		return sip.Patience{Alert: p.Alert.Std(), Rescue: p.Rescue.Std()}
	}
	return sip.Vigil{
		Held: patience(v.Held), Parked: patience(v.Parked), DeadAir: patience(v.DeadAir),
		NoMedia: patience(v.NoMedia), Vanished: patience(v.Vanished), ForeignMedia: patience(v.ForeignMedia),
	}
}

// Reload takes over what can change while calls are up and returns the keys
// that need a restart, which stay as they are. When the guard refuses the new
// settings nothing changes.
func (n *Node) Reload(next *config.Config) (refused []string, err error) {
	n.reload.Lock()
	defer n.reload.Unlock()
	refused = n.config.Load().Fixed(next)
	if err := n.guard.Reload(settings(next)); err != nil {
		n.ReloadFailed(err)
		return nil, err
	}
	n.console.Configure(Channels(next, n.guard, summoner{n.guard, n.journal}), escalation(next))
	n.intake.Reload(next.Intake.Sources())
	n.setLevel(next.Log.Level)
	if err := n.certificate.load(n.config.Load().Console.TLS); err != nil {
		n.log.Error("certificate cannot be read again, the old one stays", zap.Error(err))
	}
	n.config.Store(n.config.Load().With(next))
	n.ledger.Adjust(next.Relay.Limits(), next.Callbacks.Within.Std(), next.Redials.Within.Std())
	n.patterns.SetFalseAlarms(next.Patterns.FalseAlarms)
	n.reloads.Add(1)
	n.record("node.reloaded", "", n.startedData(next, refused))
	n.log.Info("configuration taken over", zap.String("config", next.Digest))
	if len(refused) > 0 {
		n.log.Warn("these keys need a restart and were not taken over", zap.String("keys", strings.Join(refused, ", ")))
	}
	return refused, nil
}

// ReloadFailed counts and logs a configuration that could not be taken over.
func (n *Node) ReloadFailed(err error) {
	n.refused.Add(1)
	n.log.Error("configuration refused, the old one stays", zap.Error(err))
}
