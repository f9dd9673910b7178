package main

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const firstLocal = 20000

// flood makes connections to one endpoint, workers at a time, under names separated
// by commas. Each asks for one of the pages /0 to /PAGES-1, with a query of up to 2
// KiB, and flood fails if any had no answer. Local ports count up from 20000, so that
// each tells one connection.
func flood(address, names string, numbers []string) error {
	var n [3]int
	for i, s := range numbers {
		v, err := strconv.Atoi(s)
		if err != nil || v < 1 || v > 40_000 {
			return fmt.Errorf("%q is not a number from 1 to 40000", s)
		}
		n[i] = v
	}
	connections, workers, pages := n[0], n[1], n[2]
	snis := strings.Split(names, ",")
	query := strings.Repeat("x", 2<<10)
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := next.Add(1); i <= int64(connections); i = next.Add(1) {
				page := fmt.Sprintf("/%d?%s", rand.IntN(pages), query[:rand.IntN(len(query))])
				cfg := &tls.Config{ServerName: snis[rand.IntN(len(snis))], InsecureSkipVerify: true}
				from := &net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{Port: firstLocal + int(i)}}
				if _, err := requestFrom(from, address, page, cfg); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	all.Wait()
	if f := failed.Load(); f > 0 {
		return fmt.Errorf("%d of %d connections had no answer", f, connections)
	}
	fmt.Println("done")
	return nil
}
