package node

import (
	"context"

	"holdline/cmd/holdline/config"
	"holdline/console/sources"
	"holdline/sip"
)

// openIntake begins to take the word of other systems on intakes.
func (n *Node) openIntake(c *config.Config) error {
	n.intake = sources.New(sources.Options{
		Node: n.name, Calls: n.guard, Past: n.past, Journal: n.journal, Agents: n.seating,
		Desk: n.desk, Log: n.log.Named("intake"),
	})
	n.intake.Reload(c.Intake.Sources())
	n.stops.push("intake", func(context.Context) error { return n.intake.Close() })
	return nil
}

// desk is the position that another system calls name.
func (n *Node) desk(name string) (string, bool) { return name, n.hasPosition(name) }

// began and over tell the parts of the node of calls. The guard takes none
// before all is open.
func (n *Node) began(call sip.CallRef) {
	n.heap.moved()
	n.intake.Began(call)
}

func (n *Node) over(call sip.CallRef) {
	n.heap.moved()
	n.intake.Over(call)
}
