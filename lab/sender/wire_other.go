//go:build !linux

package main

import "errors"

func open(string) (wire, error) { return nil, errors.New("packets are sent on Linux only") }
