package traffic

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// side is an end of a TCP connection; the opener is the TLS client throughout.
type side uint8

const (
	client side = iota
	server
)

// write is what one end handed to TCP in one go.
type write struct {
	from side
	data []byte
}

// Recording is one connection as it went over loopback.
type Recording struct {
	Scenario
	writes []write
	// tail is where the closing alerts begin: bulk data goes in front of it.
	tail int
}

// HelloLen is the length of the ClientHello with its record header, in bytes.
func (r *Recording) HelloLen() int { return len(r.writes[0].data) }

// Bytes counts the bytes that both ends sent.
func (r *Recording) Bytes() int {
	n := 0
	for _, w := range r.writes {
		n += len(w.data)
	}
	return n
}

// recordTimeout bounds one recorded connection; it takes milliseconds.
const recordTimeout = 20 * time.Second

// Record makes one connection of each kind over loopback.
func Record() ([]Recording, error) {
	ids, err := newIdentities()
	if err != nil {
		return nil, err
	}
	var recs []Recording
	for _, s := range scenarios() {
		r, err := s.record(ids)
		if err != nil {
			return nil, fmt.Errorf("recording %q: %w", s.Name, err)
		}
		recs = append(recs, r)
	}
	return recs, nil
}

func (s *Scenario) record(ids *identities) (Recording, error) {
	clientConf, serverConf := s.configs(ids)
	if s.Resumed {
		// One connection beforehand fills the session cache of clientConf.
		if _, err := s.exchange(clientConf, serverConf, false); err != nil {
			return Recording{}, err
		}
	}
	asked := false
	answer := clientConf.GetClientCertificate
	clientConf.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		asked = true
		return answer(info)
	}
	r, err := s.exchange(clientConf, serverConf, s.Resumed)
	if err == nil && asked != s.asked() {
		err = fmt.Errorf("the client was asked: %t, want %t", asked, s.asked())
	}
	return r, err
}

func (s *Scenario) configs(ids *identities) (clientConf, serverConf *tls.Config) {
	serverConf = &tls.Config{
		Certificates: []tls.Certificate{ids.ecdsa},
		ClientAuth:   s.Auth,
		MaxVersion:   s.Version,
		NextProtos:   []string{"http/1.1"},
		Time:         epoch,
	}
	switch {
	case s.Chain:
		serverConf.Certificates[0] = ids.rsaChain
	case s.RSA:
		serverConf.Certificates[0] = ids.rsa
	}
	clientConf = &tls.Config{
		ServerName: s.serverName(),
		NextProtos: []string{"h2", "http/1.1"},
		Time:       epoch,
		// The certificates exist for this recording alone; nobody is to be
		// convinced by them.
		InsecureSkipVerify: true, //nolint:gosec
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if s.Present {
				return &ids.client, nil
			}
			return new(tls.Certificate), nil
		},
	}
	if s.SmallHello {
		clientConf.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
	}
	if s.Resumed {
		clientConf.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return clientConf, serverConf
}

// exchange runs one connection: handshake, request, response, close. It fails
// if the connection is not what the scenario says.
func (s *Scenario) exchange(clientConf, serverConf *tls.Config, resume bool) (Recording, error) {
	a, b, err := loopback()
	if err != nil {
		return Recording{}, err
	}
	defer a.Close()
	defer b.Close()
	log := &tapLog{}
	c := tls.Client(&tap{a, log, client}, clientConf)
	d := tls.Server(&tap{b, log, server}, serverConf)

	served := make(chan error, 1)
	go func() { served <- d.Handshake() }()
	err = c.Handshake()
	serverErr := <-served
	if s.refused() {
		return s.finishRefused(c, log, serverErr)
	}
	if err := errors.Join(err, serverErr); err != nil {
		return Recording{}, err
	}
	if err := talk(c, d); err != nil {
		return Recording{}, err
	}
	tail := len(log.writes)
	if err := errors.Join(c.Close(), d.Close()); err != nil {
		return Recording{}, err
	}
	switch state := c.ConnectionState(); {
	case state.Version != s.Version:
		return Recording{}, fmt.Errorf("negotiated %s", tls.VersionName(state.Version))
	case state.DidResume != resume:
		return Recording{}, fmt.Errorf("resumed: %t, want %t", state.DidResume, resume)
	}
	return Recording{*s, log.writes, tail}, nil
}

// finishRefused takes the server's alert in. A TLS 1.3 client has finished its
// handshake by then and learns of the refusal on its first read.
func (s *Scenario) finishRefused(c *tls.Conn, log *tapLog, serverErr error) (Recording, error) {
	if serverErr == nil {
		return Recording{}, errors.New("the server let a client without certificate in")
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		return Recording{}, errors.New("the client was not told")
	}
	return Recording{*s, log.writes, len(log.writes)}, nil
}

// talk sends one request and one response. Reading each to its end before the
// next write keeps the order of writes the same in every recording.
func talk(c, d *tls.Conn) error {
	for _, t := range []struct {
		from, to *tls.Conn
		n        int
	}{{c, d, 420}, {d, c, 500}} {
		if _, err := t.from.Write(make([]byte, t.n)); err != nil {
			return err
		}
		if _, err := io.ReadFull(t.to, make([]byte, t.n)); err != nil {
			return err
		}
	}
	return nil
}

// loopback returns both ends of a TCP connection.
func loopback() (a, b net.Conn, err error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	if a, err = net.DialTimeout("tcp4", ln.Addr().String(), recordTimeout); err != nil {
		return nil, nil, err
	}
	if b, err = ln.Accept(); err != nil {
		a.Close()
		return nil, nil, err
	}
	deadline := time.Now().Add(recordTimeout)
	return a, b, errors.Join(a.SetDeadline(deadline), b.SetDeadline(deadline))
}

// tapLog collects the writes of both ends in the order they were made.
type tapLog struct {
	mu     sync.Mutex
	writes []write
}

// tap notes every write before it is made, so that an answer never comes in
// front of what it answers.
type tap struct {
	net.Conn
	log  *tapLog
	from side
}

func (t *tap) Write(p []byte) (int, error) {
	t.log.mu.Lock()
	t.log.writes = append(t.log.writes, write{t.from, append([]byte(nil), p...)})
	t.log.mu.Unlock()
	return t.Conn.Write(p)
}
