// The application of the cluster's tests, one static program: it knows nothing of Leat.
//
//	shop serve                 HTTP/1.1 and HTTP/2 on $PORT (8080); each answer says which pod gave it, and whom it saw; gRPC's health too
//	shop ask N URL             N requests, one connection each; prints {"pods": {…}, "failed": {…}}
//	shop ask -keep N URL       the same on connections that are kept
//	shop ask -must N URL       the same, and exits 1 if one fails
//	shop load URL URL          short and long connections to both, for ever (load.go); counts of them on $PORT
//	shop get URL               prints what is there
//	shop wait                  a pod to run the others in
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// Answer is what a server says.
type Answer struct {
	Pod         string `json:"pod"`
	Client      string `json:"client"`
	Traceparent string `json:"traceparent,omitempty"`
}

func address() string {
	if port := os.Getenv("PORT"); port != "" {
		return ":" + port
	}
	return ":8080"
}

func serve() error {
	pod := os.Getenv("POD")
	http.HandleFunc("/", func(out http.ResponseWriter, in *http.Request) {
		client, _, _ := net.SplitHostPort(in.RemoteAddr)
		if status, err := strconv.Atoi(in.URL.Query().Get("status")); err == nil {
			out.WriteHeader(status)
		}
		json.NewEncoder(out).Encode(Answer{Pod: pod, Client: client, Traceparent: in.Header.Get("traceparent")})
	})
	http.HandleFunc("/grpc.health.v1.Health/Check", func(out http.ResponseWriter, in *http.Request) {
		out.Header().Set("Content-Type", "application/grpc")
		out.Header().Set("Trailer", "Grpc-Status")
		out.Write([]byte{0, 0, 0, 0, 2, 0x08, 1}) // one message, not compressed: status SERVING
		out.Header().Set("Grpc-Status", "0")
	})
	server := http.Server{Addr: address(), Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	return server.ListenAndServe()
}

func ask(words []string) error {
	flags := flag.NewFlagSet("ask", flag.ExitOnError)
	keep := flags.Bool("keep", false, "keep connections")
	must := flags.Bool("must", false, "exit 1 if a request fails")
	flags.Parse(words)
	count, err := strconv.Atoi(flags.Arg(0))
	if err != nil || flags.NArg() != 2 {
		return fmt.Errorf("usage: shop ask [-keep] [-must] N URL")
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: !*keep}}
	result := struct {
		Pods    map[string]int `json:"pods"`
		Clients map[string]int `json:"clients"`
		Failed  map[string]int `json:"failed"`
	}{map[string]int{}, map[string]int{}, map[string]int{}}
	for range count {
		answer, err := once(&client, flags.Arg(1))
		if err != nil {
			result.Failed[err.Error()]++
			continue
		}
		result.Pods[answer.Pod]++
		result.Clients[answer.Client]++
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil || !*must || len(result.Failed) == 0 {
		return err
	}
	return fmt.Errorf("%d of %d failed", count-sum(result.Pods), count)
}

func sum(counts map[string]int) (total int) {
	for _, count := range counts {
		total += count
	}
	return total
}

func get(url string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

func once(client *http.Client, url string) (answer Answer, err error) {
	response, err := client.Get(url)
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer, err
	}
	if response.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("%s %s", response.Status, response.Header.Get("leat-reason"))
	}
	return answer, json.Unmarshal(body, &answer)
}

func wait() error {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	<-ended
	return nil
}

func main() {
	verb := "wait"
	if len(os.Args) > 1 {
		verb = os.Args[1]
	}
	words := os.Args[min(2, len(os.Args)):]
	verbs := map[string]func() error{
		"serve": serve, "ask": func() error { return ask(words) }, "load": func() error { return load(words) },
		"get": func() error { return get(words[0]) }, "wait": wait,
	}
	run, known := verbs[verb]
	if !known {
		fmt.Fprintf(os.Stderr, "shop: no such verb: %s\n", verb)
		os.Exit(2)
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		os.Exit(1)
	}
}
