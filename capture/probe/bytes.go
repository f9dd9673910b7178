package probe

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// ClientHello returns the bytes with which the client of a probe begins TLS.
func (p *Prober) ClientHello(pr Probe) ([]byte, error) {
	var out recorder
	t := newTap(&out, pr.Addr, time.Now())
	c, err := p.client(t, t, &pr, nil)
	if err != nil {
		return nil, err
	}
	if err := c.Handshake(); len(out.sent) == 0 {
		return nil, errors.Join(errors.New("the TLS client wrote no ClientHello"), err)
	}
	return out.sent, nil
}

// Speak says what comes before TLS to a target, on a connection to it.
func Speak(c net.Conn, t Target) error {
	return speak(newTap(c, addrPort(c.RemoteAddr()), time.Now()), &t)
}

// recorder keeps what is written to it, up to the first wait for an answer.
type recorder struct {
	net.Conn
	sent []byte
}

var errNoAnswer = errors.New("nobody is there")

func (r *recorder) Write(b []byte) (int, error) {
	r.sent = append(r.sent, b...)
	return len(b), nil
}

func (*recorder) Read([]byte) (int, error)         { return 0, errNoAnswer }
func (*recorder) Close() error                     { return nil }
func (*recorder) SetDeadline(time.Time) error      { return nil }
func (*recorder) SetReadDeadline(time.Time) error  { return nil }
func (*recorder) SetWriteDeadline(time.Time) error { return nil }
func (*recorder) LocalAddr() net.Addr              { return new(net.TCPAddr) }
func (*recorder) RemoteAddr() net.Addr             { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }
