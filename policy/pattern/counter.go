package pattern

// Counter is one chart for one taker, with the same mathematics as those of a
// Bank, for a signal of the caller's own and rates that are known beforehand. A
// simulation compares simpler detectors with it.
type Counter struct {
	d     design
	value float64
}

// NewCounter returns a Counter that raises at most allowed false alarms a month
// about honest takers, whose rates have the mean and the spread (standard
// deviation over mean) and who see perMonth calls together.
func NewCounter(mean, spread, perMonth, allowed float64) Counter {
	return Counter{d: newDesign(mean, spread, perMonth, allowed)}
}

// Count takes the next call and tells whether it raises an alarm. After one the
// chart begins at zero again.
func (c *Counter) Count(hit bool) bool {
	if !c.d.ready {
		return false
	}
	up, down := c.d.steps(1)
	if hit {
		c.value += up
	} else {
		c.value = max(c.value-down, 0)
	}
	if c.value < c.d.threshold {
		return false
	}
	c.value = 0
	return true
}
