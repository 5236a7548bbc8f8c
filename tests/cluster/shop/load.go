package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	shortWorkers = 2 // an URL; each makes one connection after the other
	longWorkers  = 4 // an URL; each keeps one connection
	shortPause   = 10 * time.Millisecond
	longPause    = 100 * time.Millisecond
	patience     = 10 * time.Second // of a request
)

// Tally says how connections of one kind did since the last time that it was asked.
type Tally struct {
	Requests int                 `json:"requests"`
	Failed   map[string]*Failure `json:"failed"` // by what they say
	Dials    int                 `json:"dials"`
}

type Failure struct {
	Count int    `json:"count"`
	First string `json:"first"` // HH:MM:SS.mmm, UTC
	Last  string `json:"last"`
}

func (tally *Tally) fail(why string) {
	now := time.Now().UTC().Format("15:04:05.000")
	if tally.Failed[why] == nil {
		tally.Failed[why] = &Failure{First: now}
	}
	tally.Failed[why].Count++
	tally.Failed[why].Last = now
}

type tallies struct {
	lock sync.Mutex
	of   map[string]*Tally // "short URL", "long URL"
}

func (all *tallies) note(kind string, change func(*Tally)) {
	all.lock.Lock()
	defer all.lock.Unlock()
	if all.of[kind] == nil {
		all.of[kind] = &Tally{Failed: map[string]*Failure{}}
	}
	change(all.of[kind])
}

func (all *tallies) take() map[string]*Tally {
	all.lock.Lock()
	defer all.lock.Unlock()
	taken := all.of
	all.of = map[string]*Tally{}
	return taken
}

// The ports of a client are of no interest, and make of one reason many.
func reason(err error) string {
	words := strings.Fields(err.Error())
	for at, word := range words {
		if before, after, found := strings.Cut(word, "->"); found {
			words[at] = before[:strings.LastIndexByte(before, ':')+1] + "*->" + after
		}
	}
	return strings.Join(words, " ")
}

func (all *tallies) ask(kind, url string, keep bool, pause time.Duration) {
	dialer := net.Dialer{}
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: !keep,
		DialContext: func(context context.Context, network, address string) (net.Conn, error) {
			all.note(kind, func(tally *Tally) { tally.Dials++ })
			return dialer.DialContext(context, network, address)
		},
	}}
	for {
		_, err := once(&client, url)
		all.note(kind, func(tally *Tally) {
			tally.Requests++
			if err != nil {
				tally.fail(reason(err))
			}
		})
		time.Sleep(pause)
	}
}

func load(urls []string) error {
	all := tallies{of: map[string]*Tally{}}
	for _, url := range urls {
		for range shortWorkers {
			go all.ask("short "+url, url, false, shortPause)
		}
		for range longWorkers {
			go all.ask("long "+url, url, true, longPause)
		}
	}
	http.HandleFunc("/", func(out http.ResponseWriter, _ *http.Request) { json.NewEncoder(out).Encode(all.take()) })
	return http.ListenAndServe(address(), nil)
}
