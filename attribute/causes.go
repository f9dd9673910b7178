package attribute

import (
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Strength says how far a cause can be relied on; the weakest first.
type Strength uint8

const (
	// Guess: it would look like this, and so would other things.
	Guess Strength = iota
	// Likely: the kind of the endpoint or its name points to it.
	Likely
	// Shown: the capture itself shows it.
	Shown
)

func (s Strength) String() string { return [...]string{"guess", "likely", "shown"}[s] }

// CauseRow is one row of the table of causes: a setting or circumstance that
// makes an endpoint ask, and what changes it. It is offered where the place and
// the time fit and seen agrees. Texts may hold {host}, {address}, {ip}, {port}
// and {name}, which are filled from the capture.
type CauseRow struct {
	ID, Group, Title string
	// Who sends the request.
	Who string
	// Kinds are kinds of hop, Hosts patterns of server names as in path.Match
	// where "*" also spans dots, Ports of the server. The place fits if any of
	// them does; a row without any fits everywhere.
	Kinds []string
	Hosts []string
	Ports []uint16
	// Whens are the parts of a connection it asks in, none for any.
	Whens []When
	// seen tells whether what was seen fits, and says so in a sentence with the
	// figures; nil where the place says it all.
	seen func(*suspect) (string, bool)
	// Strength where seen or the place fits.
	Strength Strength
	// Harmless rows only explain: there is nothing to change for them, and they come
	// last. Fallback rows are offered where all others are harmless.
	Harmless, Fallback bool

	Because string // how the cause works, for people who ask for it
	Fix     []string
	Verify  string
	Source  string
}

// Cause is a row offered for an asker.
type Cause struct {
	ID, Title, Why string
	Strength       Strength
	// If is what has to hold for the fix to be at the right place, where that is
	// not known; empty otherwise.
	If     string
	Fix    []string
	Verify string
	// Fallback: it is offered for want of a better one.
	Fallback bool
}

// suspect is an asker with what is known around it.
type suspect struct {
	*Asker
	kind   string
	probed bool // that it asks is known of a probe alone, which Asker counts
	// Of the other names at the same address: those asked and not asked.
	asked, clear []*Asker
	// clearElsewhere are other addresses under the same name that did not ask, though
	// clients went there, too: a hop behind has the name as well, but clients of its own.
	clearElsewhere []*Asker
}

// maxCauses is how many causes an asker is offered.
const maxCauses = 6

// Explain puts the causes of each asker that asked into it, best first: those
// of a kind or name that is known, then those that the capture shows, then
// guesses. What only passes TLS through has none. It also holds what hops
// declare against what was seen.
func Explain(askers []Asker, hops Hops) {
	byAddr := make(map[netip.AddrPort][]*Asker)
	byName := make(map[string][]*Asker)
	for i := range askers {
		a := &askers[i]
		byAddr[a.Addr] = append(byAddr[a.Addr], a)
		byName[a.SNI] = append(byName[a.SNI], a)
	}
	rows := CauseRows()
	for i := range askers {
		a := &askers[i]
		a.compare(hops)
		a.Several = a.Several || len(hops) > 1
		if a.Place == AtOrBehind {
			a.Place, a.PlaceBecause = hops.place(a.Hop, a.SNI)
		}
		s := &suspect{Asker: a, kind: hops.Kind(a.Hop)}
		switch {
		case a.Asked == 0 && a.Asks() == Yes:
			s.Asker, s.probed = a.asProbed(), true
		case a.Asked == 0 || a.Passes >= a.Asked:
			continue
		}
		if a.Place == Behind {
			s.kind = "" // what is behind it asks, and is of another
		}
		for _, other := range byAddr[a.Addr] {
			switch {
			case other == a:
			case other.Asked > 0:
				s.asked = append(s.asked, other)
			case other.NotAsked > 0:
				s.clear = append(s.clear, other)
			}
		}
		for _, other := range byName[a.SNI] {
			if other.Addr != a.Addr && other.Asked == 0 && other.NotAsked > 0 && together(a, other) {
				s.clearElsewhere = append(s.clearElsewhere, other)
			}
		}
		a.Causes = s.causes(rows)
	}
}

// causes are the rows that fit, ranked.
func (s *suspect) causes(rows []CauseRow) []Cause {
	type ranked struct {
		Cause
		rank int
	}
	var out, fallback []ranked
	changes := false
	for i := range rows {
		c, rank, ok := s.try(&rows[i])
		switch {
		case !ok:
		case rows[i].Fallback:
			fallback = append(fallback, ranked{c, rank})
		case rows[i].Harmless:
			out = append(out, ranked{c, -1})
		default:
			out = append(out, ranked{c, rank})
			changes = true
		}
	}
	if !changes {
		out = append(out, fallback...)
	}
	slices.SortStableFunc(out, func(x, y ranked) int { return y.rank - x.rank })
	var causes []Cause
	for _, r := range out[:min(len(out), maxCauses)] {
		causes = append(causes, r.Cause)
	}
	return causes
}

// try offers a row, if it fits.
func (s *suspect) try(r *CauseRow) (Cause, int, bool) {
	place, rank, ok := s.place(r)
	if !ok || !s.when(r) {
		return Cause{}, 0, false
	}
	var parts []string
	if place != "" {
		parts = append(parts, place)
	}
	if r.seen != nil {
		text, ok := r.seen(s)
		if !ok {
			return Cause{}, 0, false
		}
		parts = append(parts, text)
	} else {
		parts = append(parts, s.often())
	}
	c := Cause{ID: r.ID, Title: r.Title, Why: strings.Join(parts, "; "), Strength: r.Strength, If: s.condition(), Verify: s.fill(r.Verify), Fallback: r.Fallback}
	for _, f := range r.Fix {
		c.Fix = append(c.Fix, s.fill(f))
	}
	return c, 4*rank + int(r.Strength), true
}

// condition says under what condition the suspect is who has to be changed, where
// there is reason to think of others behind it.
func (s *suspect) condition() string {
	if s.Place != AtOrBehind || !s.Several {
		return ""
	}
	return s.fill("{name} asks itself. If it passes TLS through, what stands behind it asks: capture behind it, or ask that directly (whoasked probe), and change it there")
}

// place tells whether a row is about such an endpoint. The rank is that of a
// kind that was configured, then of a name or port, then of none.
func (s *suspect) place(r *CauseRow) (why string, rank int, ok bool) {
	if len(r.Kinds)+len(r.Hosts)+len(r.Ports) == 0 {
		return "", 0, true
	}
	if slices.Contains(r.Kinds, s.kind) && s.kind != "" {
		return fmt.Sprintf("%s is configured as %s", s.Hop, s.kind), 2, true
	}
	for _, p := range r.Hosts {
		if hostMatch(p, s.SNI) {
			return fmt.Sprintf("the name %s is one of that service", s.SNI), 1, true
		}
	}
	if s.kind == "" && slices.Contains(r.Ports, s.Addr.Port()) {
		return fmt.Sprintf("port %d is the one it uses", s.Addr.Port()), 1, true
	}
	return "", 0, false
}

// hostMatch is path.Match without regard to case; host names hold no slash.
func hostMatch(pattern, host string) bool {
	ok, err := path.Match(pattern, strings.ToLower(strings.TrimSuffix(host, ".")))
	return ok && err == nil
}

func (s *suspect) when(r *CauseRow) bool {
	if len(r.Whens) == 0 {
		return true
	}
	for _, w := range r.Whens {
		switch {
		case w == InHandshake && s.Traits.Handshake > 0,
			w == InRenegotiation && s.Traits.Renegotiation > 0,
			w == AfterHandshake && s.Traits.Later > 0:
			return true
		}
	}
	return false
}

// often says how often the suspect asked.
func (s *suspect) often() string {
	if s.probed {
		return "asked when probed"
	}
	return fmt.Sprintf("asked in %d of %s", s.Asked, plural(s.Full, "full handshake"))
}

// fill puts what is known in the place of {host} and the like.
func (s *suspect) fill(text string) string {
	host, name := s.SNI, s.Hop
	switch {
	case host == "":
		host = s.Addr.Addr().String()
		text = strings.NewReplacer("--address {ip} {host}:{port}", "{address}", "{host}:{port}", "{address}").Replace(text)
	case !plainName(host):
		host = "HOST"
	}
	if name == "" {
		name = s.Addr.String()
	}
	if s.Place == Behind {
		name = "what stands behind " + name
	}
	return strings.NewReplacer("{host}", host, "{address}", s.Addr.String(), "{ip}", s.Addr.Addr().String(),
		"{port}", strconv.Itoa(int(s.Addr.Port())), "{name}", name).Replace(text)
}

// plainName reports whether a server name, which the wire may hold anything in,
// can stand in a command that somebody copies into a shell.
func plainName(s string) bool {
	odd := func(r rune) bool {
		return r != '.' && r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	return s != "" && s[0] != '-' && len(s) <= 253 && !strings.ContainsFunc(s, odd)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// CauseRows is the table of causes. The order is that of docs/causes.md, and of
// causes that rank equally.
func CauseRows() []CauseRow {
	return slices.Concat(azureCauses(), identityCauses(), proxyCauses(), cloudCauses(), generalCauses(), sometimesCauses())
}
