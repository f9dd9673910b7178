//go:build linux

package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// loop is the least that a client can do: it connects to the addresses in a
// file, workers at a time, makes a full handshake, asks for a page, and reads the
// answer to its end.
func loop(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: probing loop FILE WORKERS")
	}
	data, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	workers, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	todo := make(chan string)
	var work sync.WaitGroup
	var mu sync.Mutex
	for range workers {
		work.Go(func() {
			for at := range todo {
				if e := ask(at); e != nil {
					mu.Lock()
					err = e
					mu.Unlock()
				}
			}
		})
	}
	for at := range strings.FieldsSeq(string(data)) {
		todo <- at
	}
	close(todo)
	work.Wait()
	return err
}

func ask(at string) error {
	raw, err := net.DialTimeout("tcp", at, 10*time.Second)
	if err != nil {
		return err
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	c := tls.Client(raw, &tls.Config{
		ServerName: "www.contoso.test", InsecureSkipVerify: true, NextProtos: []string{"http/1.1"},
		MinVersion: tls.VersionTLS13,
	})
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: www.contoso.test\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, bufio.NewReader(c))
	return err
}
