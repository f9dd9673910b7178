// Package metrics serves counts of the program over HTTP, in the text format of
// Prometheus, and whether it is well.
package metrics

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

// Row is a metric: how to read it from a snapshot S of what was counted. A
// counter must not become less from one snapshot to the next.
type Row[S any] struct {
	Name, Help string
	Gauge      bool
	Labels     []string
	// Read puts one value for each set of labels; none if it does not apply.
	Read func(s *S, put func(value float64, labels ...string))
}

// Bounds of what those who ask may cost.
const (
	maxConns    = 16
	maxHeader   = 8 << 10
	headerLimit = 5 * time.Second
	writeLimit  = 30 * time.Second
	idleLimit   = 2 * time.Minute
	takeLimit   = 10 * time.Second // to gather the values
)

// Server answers at one address.
type Server struct {
	listener net.Listener
	http     *http.Server
	done     chan struct{}
}

// Listen opens the socket. Nobody is answered before [Serve].
func Listen(address string) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("serve metrics: %w", err)
	}
	return &Server{listener: l}, nil
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers from now on: /metrics with the rows and counts of the Go
// runtime, /healthz with status 200, or 503 and the error of well. Both
// functions are called by any goroutine.
func Serve[S any](s *Server, rows []Row[S], take func() *S, well func() error) error {
	r := prometheus.NewRegistry()
	err := errors.Join(r.Register(collectors.NewGoCollector()), r.Register(newCollector(rows, take)))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: maxConns / 4, Timeout: takeLimit}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := well(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n") // fails if nobody waits for it
	})
	s.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: headerLimit, ReadTimeout: headerLimit, WriteTimeout: writeLimit, IdleTimeout: idleLimit,
		MaxHeaderBytes: maxHeader, ErrorLog: log.New(io.Discard, "", 0), // what clients do wrong
	}
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		_ = s.http.Serve(netutil.LimitListener(s.listener, maxConns)) // ends with Close
	}()
	return nil
}

// Close ends all connections.
func (s *Server) Close() {
	if s.http == nil {
		_ = s.listener.Close()
		return
	}
	_ = s.http.Close()
	<-s.done
}

// collector reads the rows whenever it is asked.
type collector[S any] struct {
	rows  []Row[S]
	descs []*prometheus.Desc
	take  func() *S
}

func newCollector[S any](rows []Row[S], take func() *S) *collector[S] {
	c := &collector[S]{rows: rows, take: take}
	for _, r := range rows {
		c.descs = append(c.descs, prometheus.NewDesc(r.Name, r.Help, r.Labels, nil))
	}
	return c
}

// Describe implements [prometheus.Collector].
func (c *collector[S]) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *collector[S]) Collect(out chan<- prometheus.Metric) {
	s := c.take()
	for i, r := range c.rows {
		kind := prometheus.CounterValue
		if r.Gauge {
			kind = prometheus.GaugeValue
		}
		r.Read(s, func(value float64, labels ...string) {
			for i := range labels {
				labels[i] = strings.ToValidUTF8(labels[i], "?")
			}
			m, err := prometheus.NewConstMetric(c.descs[i], kind, value, labels...)
			if err != nil {
				m = prometheus.NewInvalidMetric(c.descs[i], err)
			}
			out <- m
		})
	}
}
