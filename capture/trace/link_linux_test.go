package trace

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// queued builds what the error queue tells of an ICMP message: sock_extended_err
// of a type and code, and who sent it.
func queued(level, name int32, origin, kind, code uint8, from netip.Addr) []byte {
	data := make([]byte, 16)
	data[4], data[5], data[6] = origin, kind, code
	switch {
	case from.Is4():
		sa := binary.NativeEndian.AppendUint16(nil, unix.AF_INET)
		sa = append(append(sa, 0, 0), from.AsSlice()...)
		data = append(data, append(sa, make([]byte, 8)...)...)
	case from.Is6():
		sa := binary.NativeEndian.AppendUint16(nil, unix.AF_INET6)
		sa = append(append(sa, 0, 0, 0, 0, 0, 0), from.AsSlice()...)
		data = append(data, append(sa, 0, 0, 0, 0)...)
	}
	b := make([]byte, unix.CmsgSpace(len(data)))
	binary.NativeEndian.PutUint64(b, uint64(unix.CmsgLen(len(data)))) // amd64, arm64
	binary.NativeEndian.PutUint32(b[8:], uint32(level))
	binary.NativeEndian.PutUint32(b[12:], uint32(name))
	copy(b[unix.CmsgLen(0):], data)
	return b
}

var (
	router4 = netip.MustParseAddr("198.18.1.2")
	router6 = netip.MustParseAddr("2001:db8:1::2")
)

func TestParseQueued(t *testing.T) {
	if unix.CmsgLen(0) != 16 {
		t.Skip("control messages are laid out for 64 bits")
	}
	for _, tt := range []struct {
		name string
		oob  []byte
		want queuedError
		ok   bool
	}{
		{"IPv4", queued(unix.IPPROTO_IP, unix.IP_RECVERR, unix.SO_EE_ORIGIN_ICMP, 11, 0, router4), queuedError{11, 0, router4}, true},
		{"IPv6", queued(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, unix.SO_EE_ORIGIN_ICMP6, 3, 0, router6), queuedError{3, 0, router6}, true},
		{"nobody named", queued(unix.IPPROTO_IP, unix.IP_RECVERR, unix.SO_EE_ORIGIN_ICMP, 11, 0, netip.Addr{}), queuedError{kind: 11}, true},
		{"of the host itself", queued(unix.IPPROTO_IP, unix.IP_RECVERR, unix.SO_EE_ORIGIN_LOCAL, 0, 0, router4), queuedError{}, false},
		{"behind another", slices.Concat(queued(unix.IPPROTO_IP, unix.IP_TTL, 0, 0, 0, router4), queued(unix.IPPROTO_IP, unix.IP_RECVERR, unix.SO_EE_ORIGIN_ICMP, 3, 1, router4)), queuedError{3, 1, router4}, true},
		{"cut", queued(unix.IPPROTO_IP, unix.IP_RECVERR, unix.SO_EE_ORIGIN_ICMP, 11, 0, router4)[:20], queuedError{}, false},
		{"nothing", nil, queuedError{}, false},
	} {
		if got, ok := parseQueued(tt.oob); got != tt.want || ok != tt.ok {
			t.Errorf("%s: got %+v %v, want %+v %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
}

// FuzzParseQueued: nothing that a kernel could queue does harm.
func FuzzParseQueued(f *testing.F) {
	f.Add(queued(unix.IPPROTO_IP, unix.IP_RECVERR, unix.SO_EE_ORIGIN_ICMP, 11, 0, router4))
	f.Add(queued(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, unix.SO_EE_ORIGIN_ICMP6, 3, 0, router6))
	f.Fuzz(func(t *testing.T, oob []byte) {
		if e, ok := parseQueued(oob); !ok && e != (queuedError{}) {
			t.Errorf("nothing is told, but %+v", e)
		}
	})
}

// listen serves connections at a loopback address.
func listen(t *testing.T, address string, serve func(net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Skip(err) // no IPv6
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := c.Read(make([]byte, 100)); err == nil {
					serve(c)
				}
			}()
		}
	}()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// TestLoopback traces over real sockets: everything ends at the first hop.
func TestLoopback(t *testing.T) {
	hang := make(chan struct{})
	defer close(hang)
	serverHello := []byte{22, 3, 3, 0, 100, 2, 0, 0, 96, 3, 3}
	for _, tt := range []struct {
		name, address string
		serve         func(net.Conn)
		hello         Outcome
		data          int // at least
	}{
		{"answers", "127.0.0.1:0", func(c net.Conn) { c.Write(serverHello); <-hang }, Answered, len(serverHello)},
		{"answers by IPv6", "[::1]:0", func(c net.Conn) { c.Write(serverHello); <-hang }, Answered, len(serverHello)},
		{"answers byte by byte", "127.0.0.1:0", func(c net.Conn) {
			for i := range serverHello {
				c.Write(serverHello[i : i+1])
				time.Sleep(2 * time.Millisecond)
			}
			<-hang
		}, Answered, wanted},
		{"answers one byte", "127.0.0.1:0", func(c net.Conn) { c.Write(serverHello[:1]); <-hang }, Answered, 1},
		{"hangs up", "127.0.0.1:0", func(net.Conn) {}, Refused, 0},
		{"resets", "127.0.0.1:0", func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }, Refused, 0},
		{"keeps silent", "127.0.0.1:0", func(net.Conn) { <-hang }, Silent, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := listen(t, tt.address, tt.serve)
			tr := Tracer{MaxTTL: 1, Wait: 150 * time.Millisecond, Hello: func() ([]byte, error) { return []byte("a ClientHello"), nil }}
			count := make(map[Kind]int)
			if err := tr.Run(t.Context(), to, func(r Reply) {
				count[r.Kind]++
				want := Answered
				if r.Kind == Hello {
					want = tt.hello
					if len(r.Data) < tt.data {
						t.Errorf("answered by %x, want %d bytes", r.Data, tt.data)
					}
				}
				if r.Outcome != want || r.TTL != 1 || r.Err != nil {
					t.Errorf("%+v, want outcome %d", r, want)
				}
				if timed := r.Outcome != Silent && r.Resent == 0; (r.RTT > 0) != timed {
					t.Errorf("%+v: the time is wrong", r)
				}
			}); err != nil {
				t.Fatal(err)
			}
			wantHellos := 1 + further
			if tt.hello == Silent {
				wantHellos = 1
			}
			if count[SYN] != 1+further || count[Hello] != wantHellos || count[Address] < 1+further {
				t.Errorf("told of %v", count)
			}
		})
	}
}

// TestLoopbackClosed: RST is an end as well.
func TestLoopbackClosed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := ln.Addr().(*net.TCPAddr).AddrPort()
	ln.Close()
	tr := Tracer{MaxTTL: 1}
	if err := tr.Run(t.Context(), to, func(r Reply) {
		if want := map[Kind]Outcome{SYN: Refused, Address: Answered}[r.Kind]; r.Outcome != want {
			t.Errorf("%+v, want outcome %d", r, want)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
