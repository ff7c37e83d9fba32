package policy

import "strings"

// Trust is how far a source of intake marks is believed.
type Trust string

// The levels of trust. A mark from a source that softens makes intake claimed
// and not complete: it is in the call taker's own hands. A mark from a source
// that is ignored counts as not made.
const (
	Proves  Trust = "proves"
	Softens Trust = "softens"
	Ignored Trust = "ignored"
)

// knownSources are the sources that marks come from, and other.
func knownSources() []string {
	return []string{"http", "eido", "logger", "webhook", "header", "info", "dtmf", "speech", otherSource}
}

// otherSource is the key that stands for every source without one of its own.
const otherSource = "other"

// trusts says how far each source is trusted. Sources that it does not name
// have the level of other.
type trusts map[string]Trust

func (t trusts) of(source string) Trust {
	if level, ok := t[source]; ok {
		return level
	}
	return t[otherSource]
}

// believed returns the marks with which of the levels; it is in itself
// when all are believed.
func (in Intake) believed(t trusts, soft bool) marks {
	var m marks
	for f, mark := range in {
		if level := t.of(mark.Source); level == Proves || soft && level == Softens {
			m |= bit(f)
		}
	}
	return m
}

// marks is a set of intake fields.
type marks uint8

const (
	hasLocation marks = 1 << iota
	hasCallback
	hasNature
	hasIncident
	hasDispatched
	hasDisposition

	asked = hasLocation | hasCallback | hasNature // what every call taker asks
)

// bit is f's place in a set; 0 for a field that is none.
func bit(f Field) marks {
	switch f {
	case Location:
		return hasLocation
	case Callback:
		return hasCallback
	case Nature:
		return hasNature
	case Incident:
		return hasIncident
	case Dispatched:
		return hasDispatched
	case Disposition:
		return hasDisposition
	default:
		return 0
	}
}

// complete is Intake.Complete for a set of fields.
func (m marks) complete() bool {
	return m&(hasIncident|hasDisposition) != 0 || m&asked == asked
}

// summaries are the words for every set of the three fields that are asked,
// made once: a verdict must not wait for them.
type summaries [asked + 1]string

func newSummaries() *summaries {
	var s summaries
	for m := range s {
		s[m] = whyIncomplete(marks(m))
	}
	return &s
}

// of says in words what makes a set complete, shortest proof first, or what
// is missing in it.
func (s *summaries) of(m marks) string {
	switch {
	case m&hasIncident != 0:
		return "an incident was created"
	case m&hasDisposition != 0:
		return "a disposition was given"
	case m&asked == asked:
		return "location, callback and nature are marked"
	default:
		return s[m&asked]
	}
}

// whyIncomplete says what was established and what was not, in the order in
// which call takers ask for it: "location and callback are marked, nature is
// not".
func whyIncomplete(m marks) string {
	var marked, missing []string
	for _, f := range []Field{Location, Callback, Nature} {
		if m&bit(f) != 0 {
			marked = append(marked, string(f))
		} else {
			missing = append(missing, string(f))
		}
	}
	if len(marked) == 0 {
		return "no intake: neither location, callback and nature are marked, nor an incident, nor a disposition"
	}
	return list(marked) + " " + isAre(marked) + " marked, " + list(missing) + " " + isAre(missing) + " not"
}

// list joins words as in a sentence: "a", "a and b", "a, b and c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

func isAre(words []string) string {
	if len(words) == 1 {
		return "is"
	}
	return "are"
}
