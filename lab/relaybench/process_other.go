//go:build !linux

package main

import (
	"errors"
	"syscall"
	"time"
)

type group int

type usage struct {
	cpu         time.Duration
	rss         int64
	descriptors int
}

var errLinux = errors.New("what a process uses is read from Linux's /proc")

func attributes() *syscall.SysProcAttr            { return nil }
func (group) signal(syscall.Signal)               {}
func (group) usage() (usage, error)               { return usage{}, errLinux }
func withSlack(time.Duration, func() error) error { return errLinux }

func raiseLimit(uint64) error { return errLinux }
