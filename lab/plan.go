//go:build linux

package lab

import (
	"crypto/tls"
	"fmt"
)

// cell is one place of the full matrix.
type cell struct {
	server Software
	client ClientSoftware
	e      Endpoint // Port is not set
	cert   bool
	resume bool
}

// absence says which cells of the matrix there are not, and why.
type absence struct {
	why   string
	match func(cell) bool
}

// absences is tried in order; the first row that matches speaks.
func absences() []absence {
	return []absence{
		{"crypto/tls chooses the TLS 1.3 suite itself", func(c cell) bool {
			return c.server.OwnTLS13 && c.e.tls13() && c.e.Cipher != AnyCipher
		}},
		{"the suite can be chosen, so it is", func(c cell) bool {
			return !(c.server.OwnTLS13 && c.e.tls13()) && c.e.Cipher == AnyCipher
		}},
		{"the client does not resume, or does not say whether it did", func(c cell) bool {
			return c.resume && !c.client.Resumes
		}},
		{"no session comes of a handshake that is refused", func(c cell) bool {
			return c.resume && c.e.Mode == Required && !c.cert
		}},
		{"a certificate that nobody asks for changes nothing in the session", func(c cell) bool {
			return c.resume && c.e.Mode == NotAsked && c.cert
		}},
	}
}

// Plan is the connections to make and where.
type Plan struct {
	Endpoints []Endpoint
	// Jobs are by the name of the client.
	Jobs map[string][]Job
	// Absent counts the cells left out because they cannot be, by reason;
	// Rotated those left out because the ciphers take turns.
	Absent  map[string]int
	Rotated int
}

// firstPort is the port of the first endpoint.
const firstPort = 20000

// NewPlan lays the matrix out: every server × version × mode × client ×
// certificate × fresh or resumed, each with every cipher, or else with one of
// the three in turn.
func NewPlan(everyCipher bool) *Plan {
	p := &Plan{Jobs: map[string][]Job{}, Absent: map[string]int{}}
	for si, s := range Servers() {
		for vi, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			for mi, m := range []Mode{NotAsked, Optional, Required} {
				for ci, cipher := range []Cipher{AES128, AES256, ChaCha20, AnyCipher} {
					e := Endpoint{Server: s.Name, Port: firstPort + len(p.Endpoints), Version: v, Mode: m,
						Cipher: cipher, Key: s.Key, TwoCAs: m == Required}
					before := p.count()
					p.clients(s, e, func(i int) bool { return everyCipher || (si+vi+mi+ci+i)%3 == 0 })
					if p.count() > before {
						p.Endpoints = append(p.Endpoints, e)
					}
				}
			}
		}
	}
	return p
}

// clients plans the jobs of one endpoint; turn says whether it is the turn of
// its cipher.
func (p *Plan) clients(s Software, e Endpoint, turn func(i int) bool) {
	i := 0
	for _, client := range Clients() {
		for _, cert := range []bool{false, true} {
			for _, resume := range []bool{false, true} {
				i++
				c := cell{s, client, e, cert, resume}
				if why := c.absent(); why != "" {
					p.Absent[why]++
					continue
				}
				if !turn(i) && e.Cipher != AnyCipher {
					p.Rotated++
					continue
				}
				p.add(c)
			}
		}
	}
}

func (c cell) absent() string {
	for _, a := range absences() {
		if a.match(c) {
			return a.why
		}
	}
	return ""
}

func (p *Plan) add(c cell) {
	n := p.count()
	j := Job{SNI: fmt.Sprintf("c%04d.contoso.test", n), Endpoint: c.e, Resume: c.resume}
	if c.cert {
		j.Cert = [...]Key{RSA, EC}[n/2%2]
	}
	p.Jobs[c.client.Name] = append(p.Jobs[c.client.Name], j)
}

// count returns the number of jobs so far.
func (p *Plan) count() int {
	n := 0
	for _, jobs := range p.Jobs {
		n += len(jobs)
	}
	return n
}
