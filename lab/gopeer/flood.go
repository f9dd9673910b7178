package main

import (
	"crypto/tls"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
)

// flood makes connections to one endpoint, workers at a time, each of which asks
// for one of the pages /0 to /PAGES-1, and fails if any had no answer.
func flood(address, sni string, numbers []string) error {
	var n [3]int
	for i, s := range numbers {
		v, err := strconv.Atoi(s)
		if err != nil || v < 1 {
			return fmt.Errorf("%q is not a number above 0", s)
		}
		n[i] = v
	}
	connections, workers, pages := n[0], n[1], n[2]
	var next, failed atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := next.Add(1); i <= int64(connections); i = next.Add(1) {
				page := fmt.Sprintf("/%d", int(i*7919)%pages)
				if _, err := request(address, page, &tls.Config{ServerName: sni, InsecureSkipVerify: true}); err != nil {
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
