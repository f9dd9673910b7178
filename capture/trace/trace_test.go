package trace

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

var target = netip.MustParseAddrPort("198.18.3.2:443")

// network answers as a row of routers would that ends in an endpoint.
type network struct {
	// ends are the distances at which each kind reaches an end, 0 for never, and
	// what it meets there.
	ends [3]int
	meet [3]Outcome
	// silent are hops that never tell; lossy ones tell from the second time on.
	silent, lossy []int

	mu        sync.Mutex
	sent      map[string]int // by kind and TTL
	messages  map[int]int    // by hop
	replied   map[string]int // by kind and TTL, up to the end
	now, most int
	after     func() // each send
}

func (n *network) send(ctx context.Context, k Kind, ttl int) Reply {
	n.mu.Lock()
	if n.sent == nil {
		n.sent, n.messages, n.replied = make(map[string]int), make(map[int]int), make(map[string]int)
	}
	key := fmt.Sprint(k, ttl)
	n.sent[key]++
	times := n.sent[key]
	n.now++
	n.most = max(n.most, n.now)
	n.mu.Unlock()
	time.Sleep(time.Millisecond)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now--
	if n.after != nil {
		n.after()
	}
	r := Reply{Kind: k, TTL: ttl, RTT: time.Millisecond, Outcome: Silent}
	switch end := n.ends[k]; {
	case ctx.Err() != nil:
	case end > 0 && ttl >= end:
		r.Outcome = n.meet[k]
		if k == Address {
			n.messages[end]++
		}
	case slices.Contains(n.silent, ttl), slices.Contains(n.lossy, ttl) && times == 1:
	default:
		r.Outcome = Expired
		n.messages[ttl]++
	}
	if r.Outcome != Silent && ttl <= n.ends[k] {
		n.replied[key]++
	}
	return r
}

// run traces the network and returns what was told, by kind and TTL.
func (n *network) run(t *testing.T, ctx context.Context) (map[string][]Outcome, []Reply) {
	t.Helper()
	told := make(map[string][]Outcome)
	var all []Reply
	tr := Tracer{send: n}
	if err := tr.Run(ctx, target, func(r Reply) {
		key := fmt.Sprint(r.Kind, r.TTL)
		told[key] = append(told[key], r.Outcome)
		all = append(all, r)
	}); err != nil {
		t.Fatal(err)
	}
	return told, all
}

func answeredAt(syn, hello, address int) *network {
	return &network{ends: [3]int{syn, hello, address}, meet: [3]Outcome{Answered, Answered, Answered}}
}

func many(o Outcome, n int) []Outcome { return slices.Repeat([]Outcome{o}, n) }

// TestRun: what a verdict compares is sent on three flows, everything else once.
func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name string
		net  *network
		want map[string][]Outcome
	}{
		{"endpoint at 4", answeredAt(4, 4, 4), map[string][]Outcome{
			"0 1": many(Expired, 1), "0 3": many(Expired, 3), "0 4": many(Answered, 3), "0 5": nil,
			"1 3": many(Expired, 1), "1 4": many(Answered, 3), "1 5": nil,
			"2 3": many(Expired, 1), "2 4": many(Answered, 3), "2 5": nil,
		}},
		{"device at 2", answeredAt(2, 2, 5), map[string][]Outcome{
			"0 1": many(Expired, 3), "0 2": many(Answered, 3), "0 3": nil,
			"1 2": many(Answered, 3), "2 2": many(Expired, 3), "2 4": many(Expired, 1), "2 5": many(Answered, 3),
		}},
		{"device at 2 whose router is silent", &network{ends: [3]int{2, 2, 5}, meet: many3(Answered), silent: []int{2}}, map[string][]Outcome{
			"2 2": many(Silent, 1), "2 3": many(Expired, 3), "2 5": many(Answered, 3),
		}},
		{"forwarded from 2 to 4", answeredAt(4, 4, 2), map[string][]Outcome{
			"0 2": many(Expired, 3), "0 3": many(Expired, 3), "0 4": many(Answered, 3), "2 2": many(Answered, 3), "2 4": many(Answered, 2),
		}},
		{"SYN proxy at 2", answeredAt(2, 4, 4), map[string][]Outcome{
			"1 2": many(Expired, 3), "1 3": many(Expired, 1), "1 4": many(Answered, 3),
		}},
		{"nearer hello", answeredAt(4, 2, 4), map[string][]Outcome{
			"1 2": many(Answered, 3), "0 2": many(Expired, 3),
		}},
		{"a reply is lost", &network{ends: [3]int{4, 4, 4}, meet: many3(Answered), lossy: []int{2}}, map[string][]Outcome{
			"0 2": many(Expired, 1), "1 2": many(Expired, 1), "2 2": many(Expired, 1),
		}},
		{"refused", &network{ends: [3]int{2, 2, 2}, meet: [3]Outcome{Refused, Answered, Answered}}, map[string][]Outcome{
			"0 2": many(Refused, 3), "1 1": nil, "1 2": nil,
		}},
		{"unreachable", &network{ends: [3]int{3, 3, 3}, meet: many3(Unreachable)}, map[string][]Outcome{
			"0 3": many(Unreachable, 3), "0 4": nil, "1 1": nil, "2 3": many(Unreachable, 3),
		}},
		{"cannot be sent", &network{ends: [3]int{1, 1, 1}, meet: many3(Failed)}, map[string][]Outcome{
			"0 1": many(Failed, 1), "0 2": nil, "2 1": many(Failed, 1), "2 2": nil,
		}},
		{"nothing beyond 3", &network{silent: []int{4, 5, 6, 7, 8, 9, 10, 11, 12, 13}}, map[string][]Outcome{
			"0 3": many(Expired, 1), "0 11": many(Silent, 1), "0 12": nil, "1 1": nil, "2 11": many(Silent, 1), "2 12": nil,
		}},
		{"no end", &network{}, map[string][]Outcome{
			"0 30": many(Expired, 1), "0 31": nil, "2 30": many(Expired, 1), "2 31": nil,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			told, _ := tt.net.run(t, t.Context())
			for key, want := range tt.want {
				if !slices.Equal(told[key], want) {
					t.Errorf("kind and TTL %s: got %v, want %v", key, told[key], want)
				}
			}
			if tt.net.most > 2*abreast {
				t.Errorf("%d under way at a time", tt.net.most)
			}
		})
	}
}

func many3(o Outcome) [3]Outcome { return [3]Outcome{o, o, o} }

// TestRunGently: no router has to send more messages than Linux lets one send to a
// host at once, six.
func TestRunGently(t *testing.T) {
	for _, n := range []*network{answeredAt(4, 4, 4), answeredAt(2, 2, 5), answeredAt(1, 1, 4), answeredAt(9, 9, 9), answeredAt(3, 3, 4)} {
		n.run(t, t.Context())
		for hop, messages := range n.messages {
			if messages > 6 {
				t.Errorf("ends %v: hop %d sent %d messages", n.ends, hop, messages)
			}
		}
	}
}

// TestRunAgain: what was sent again is counted.
func TestRunAgain(t *testing.T) {
	n := &network{ends: [3]int{4, 4, 4}, meet: many3(Answered), lossy: []int{2}, silent: []int{3}}
	_, all := n.run(t, t.Context())
	for _, r := range all {
		if want := map[bool]int{true: 1}[r.TTL == 2 || r.TTL == 3]; r.Resent != want {
			t.Errorf("kind %d TTL %d: sent again %d times, want %d", r.Kind, r.TTL, r.Resent, want)
		}
	}
}

// TestRunInterrupted: all that came before the end is told, and no silence that
// was not waited for.
func TestRunInterrupted(t *testing.T) {
	for stop := 1; stop < 30; stop++ {
		ctx, cancel := context.WithCancel(t.Context())
		n := answeredAt(4, 4, 4)
		left := stop
		n.after = func() {
			if left--; left == 0 {
				cancel()
			}
		}
		told, all := n.run(t, ctx)
		cancel()
		for key, replies := range n.replied {
			if len(told[key]) != replies {
				t.Errorf("stopped after %d: of kind and TTL %s, %d of %d replies are told", stop, key, len(told[key]), replies)
			}
		}
		for _, r := range all {
			if r.Outcome == Silent {
				t.Errorf("stopped after %d: TTL %d is told to be silent", stop, r.TTL)
			}
		}
	}
}
