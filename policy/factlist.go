package policy

// Fact describes one fact that conditions may use.
type Fact struct {
	Name   string   // as it is written in a condition
	Type   string   // string, number, bool
	Unit   string   // of a number; "" when it is a count
	Values []string // all values there are; nil when it may be anything
	Doc    string   // a full sentence
}

// FactList describes every fact, in the order of the manual. The facts of a
// mark are there once for every intake field.
func FactList() []Fact {
	facts := []Fact{
		{"kind", "string", "", []string{string(Emergency), string(Admin), string(Test)}, "What sort of call it is."},
		{"service", "string", "", nil, "The request URI of the caller's INVITE, as `urn:service:sos.fire` or `sip:911@psap.example`."},
		{"priority", "string", "", nil, "The caller's Resource-Priority (RFC 4412), as `esnet.1`; empty when the call has none."},
		{"release", "string", "", nil, "How the position left: `bye`; `held`, `parked`, `dead-air`, `noise`, `no-media`, `vanished` or `foreign-media` when it is still on the line (`vigil` in the configuration); or in words how else it was lost, as `session timer expired`."},
		{"class", "string", "", []string{"", "operator", "technical", "unknown"}, "Whose doing it was, as far as the evidence goes: the call taker's; that of a phone, a network or a call-handling system that failed; or either."},
		{"position", "string", "", nil, "The id of the position that leaves, or the SIP URI of a fallback target."},
		{"agent", "string", "", nil, "The person signed in there; empty when unknown."},
		{"outside", "bool", "", nil, "The one who leaves is another centre: the call was transferred to it, and `transfer.allow` names it."},
		{"talk", "number", "seconds", nil, "How long the taker who leaves had the caller."},
		{"rescues", "number", "", nil, "How often this call was rescued before."},
		{"transfer", "string", "", []string{"", "pending", "succeeded", "failed"}, "What became of a transfer (REFER) by the position that leaves; empty when it made none."},
		{"transfer_to", "string", "", nil, "Whom that transfer is to: the id of a position, or a SIP URI."},
		{"transfer_reported", "string", "", nil, "Whom the call was transferred to, as the call-handling system says in a log event; empty when it says nothing. Nobody need have the caller: SIP shows that."},
		{"hold", "number", "seconds", nil, "How long this taker had the caller on hold, all in all."},
		{"holding", "bool", "", nil, "The caller is on hold at the moment of the release."},
		{"intake.complete", "bool", "", nil, "Location, callback and nature are marked, or an incident is, or a disposition is, by sources that prove."},
		{"intake.claimed", "bool", "", nil, "The same, with marks from sources that soften counted too."},
		{"intake.summary", "string", "", nil, "What makes intake complete, or what is missing, in words for a reason."},
	}
	for _, f := range Fields() {
		facts = append(facts, markFacts("intake."+string(f))...)
	}
	return append(facts,
		Fact{"speech.caller", "number", "seconds", nil, "How long the caller was heard to speak since this taker answered; -1 when unknown, as on a text call."},
		Fact{"speech.taker", "number", "seconds", nil, "How long this taker was heard to speak; -1 when unknown."},
		Fact{"redials", "number", "", nil, "Calls of the same caller shortly before this one; 0 also when unknown."},
		Fact{"surge", "bool", "", nil, "The centre is in surge mode."},
		Fact{"hour", "number", "hours", nil, "The hour of the day at the centre, 0 to 23; -1 when unknown."},
		Fact{"weekday", "string", "", []string{"", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}, "The day of the week at the centre; empty when unknown."},
	)
}

// markFacts describes what may be known of one intake field.
func markFacts(field string) []Fact {
	return []Fact{
		{field + ".marked", "bool", "", nil, "The field is marked, by a source that is not ignored."},
		{field + ".value", "string", "", nil, "What was established; empty when it is not marked, and `true` when only that it is was told."},
		{field + ".by", "string", "", nil, "The user, position or system that marked it."},
		{field + ".source", "string", "", nil, "How it was marked: `http`, `eido`, `logger`, `webhook`, `header`, `info`, `dtmf` or `speech`."},
		{field + ".trust", "string", "", []string{"", string(Proves), string(Softens)}, "How far that source is trusted; empty when the field is not marked."},
		{field + ".age", "number", "seconds", nil, "How long before the release it was marked; -1 when it is not, or when that is unknown."},
	}
}
