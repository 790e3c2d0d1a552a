// The Go client of etcd, measured as the others are: the same arguments, the same line of JSON.
//
// It gets one endpoint.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"golang.org/x/sys/unix"
)

const pinned = "BENCH_IS_PINNED"

type args struct {
	endpoints, work            string
	size, callers, ops, warmUp int
	latency                    bool
	core                       int
}

func parse(words []string) args {
	a := args{work: "put", size: 256, callers: 1, ops: 1000, core: -1}
	for i := 0; i < len(words); i++ {
		if words[i] == "--latency" {
			a.latency = true
			continue
		}
		name := words[i]
		i++
		number, _ := strconv.Atoi(words[i])
		switch name {
		case "--endpoints":
			a.endpoints = words[i]
		case "--work":
			a.work = words[i]
		case "--size":
			a.size = number
		case "--callers":
			a.callers = max(number, 1)
		case "--ops":
			a.ops = number
		case "--warm-up":
			a.warmUp = number
		case "--core":
			a.core = number
		}
	}
	return a
}

// pin starts the program again on its core: the runtime counts the cores when it starts.
func pin(core int) {
	if core < 0 || os.Getenv(pinned) != "" {
		return
	}
	runtime.LockOSThread()
	var cores unix.CPUSet
	cores.Set(core)
	check(unix.SchedSetaffinity(0, &cores))
	check(syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), pinned+"=1")))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func connect(a args) *clientv3.Client {
	first, _, _ := strings.Cut(a.endpoints, ",")
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{first}})
	check(err)
	return client
}

func get(client *clientv3.Client, key string, size int) {
	answer, err := client.Get(context.Background(), key)
	check(err)
	found := 0
	if len(answer.Kvs) > 0 {
		found = len(answer.Kvs[0].Value)
	}
	if found != size {
		check(fmt.Errorf("%d in place of %d", found, size))
	}
}

func once(client *clientv3.Client, a args, put, key, value string) {
	switch a.work {
	case "put":
		_, err := client.Put(context.Background(), put, value)
		check(err)
	case "get":
		get(client, key, a.size)
	case "connect":
		client := connect(a)
		get(client, key, a.size)
		check(client.Close())
	}
}

func callers(client *clientv3.Client, a args, ops int) []int64 {
	var group sync.WaitGroup
	noted := make([][]int64, a.callers)
	key, value := fmt.Sprintf("v%d/k", a.size), strings.Repeat("x", a.size)
	for number := range a.callers {
		group.Add(1)
		go func() {
			defer group.Done()
			share := ops / a.callers
			if number < ops%a.callers {
				share++
			}
			put := fmt.Sprintf("bench/%06d", number)
			for range share {
				begin := time.Now()
				once(client, a, put, key, value)
				if a.latency {
					noted[number] = append(noted[number], time.Since(begin).Nanoseconds())
				}
			}
		}()
	}
	group.Wait()
	return slices.Concat(noted...)
}

func cpu() int64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func flood(client *clientv3.Client, a args) {
	key := fmt.Sprintf("flood/%d/%d", (a.ops+99)/100, a.size)
	seen := 0
	for answer := range client.Watch(context.Background(), key) {
		seen += len(answer.Events)
		if seen >= a.ops {
			return
		}
	}
}

// watchers creates watchers on the stream that the client keeps for them.
func watchers(client *clientv3.Client, count int) []clientv3.WatchChan {
	created := make([]clientv3.WatchChan, count)
	for number := range created {
		key := fmt.Sprintf("watched/%06d", number)
		created[number] = client.Watch(context.Background(), key, clientv3.WithCreatedNotify())
		<-created[number]
	}
	return created
}

// leased grants leases and keeps them alive; what comes back is taken from each channel and counted.
func leased(client *clientv3.Client, a args, renewed *atomic.Int64) {
	for range a.callers {
		granted, err := client.Grant(context.Background(), int64(a.ttl()))
		check(err)
		answers, err := client.KeepAlive(context.Background(), granted.ID)
		check(err)
		go func() {
			for range answers {
				renewed.Add(1)
			}
		}()
	}
}

// ttl tells the time to live of the leases in seconds.
func (a args) ttl() int {
	if a.size == 0 {
		return 60
	}
	return a.size
}

// created tells how many watchers the server has created.
func created(client *clientv3.Client) int {
	return number(client, "created")
}

// number gets a key whose value is a number.
func number(client *clientv3.Client, key string) int {
	answer, err := client.Get(context.Background(), key)
	check(err)
	count, err := strconv.Atoi(string(answer.Kvs[0].Value))
	check(err)
	return count
}

// again waits until the server has created all watchers again after it was told to cut all
// connections.
func again(client *clientv3.Client, all int) {
	for created(client) < all {
	}
}

// resident tells the resident memory of the process in bytes.
func resident() float64 {
	text, err := os.ReadFile("/proc/self/status")
	check(err)
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	check(err)
	return float64(kib) * 1024
}

func main() {
	a := parse(os.Args[1:])
	pin(a.core)
	client := connect(a)
	var before, after runtime.MemStats
	measured := func(work func() []int64) string {
		runtime.ReadMemStats(&before)
		memory := resident()
		begin, used := time.Now(), cpu()
		latencies := work()
		used, wall := cpu()-used, time.Since(begin)
		memory = max(resident()-memory, 0)
		runtime.ReadMemStats(&after)
		ops := float64(a.ops)
		line := fmt.Sprintf("\"cpu_ns_per_op\":%.1f,\"wall_ns\":%d,\"memory_per_op\":%.1f,"+
			"\"allocations_per_op\":%.3f,\"bytes_per_op\":%.1f", float64(used)/ops,
			wall.Nanoseconds(), memory/ops,
			float64(after.Mallocs-before.Mallocs)/ops,
			float64(after.TotalAlloc-before.TotalAlloc)/ops)
		if len(latencies) > 0 {
			slices.Sort(latencies)
			at := func(percent int) int64 { return latencies[(len(latencies)-1)*percent/100] }
			line += fmt.Sprintf(",\"p50_ns\":%d,\"p99_ns\":%d", at(50), at(99))
		}
		return line
	}
	line := "\"none\":true"
	switch a.work {
	case "put", "get", "connect":
		callers(client, a, max(a.warmUp, a.callers))
		line = measured(func() []int64 { return callers(client, a, a.ops) })
	case "watchers":
		var kept []clientv3.WatchChan
		line = measured(func() []int64 { kept = watchers(client, a.ops); return nil })
		runtime.KeepAlive(kept)
	case "watchers-again":
		kept := watchers(client, a.ops)
		all := created(client) + a.ops
		_, err := client.Compact(context.Background(), 1)
		check(err)
		line = measured(func() []int64 { again(client, all); return nil })
		runtime.KeepAlive(kept)
	case "keep-alives":
		var renewed atomic.Int64
		streams, memory := number(client, "renewing"), resident()
		leased(client, a, &renewed)
		memory = max(resident()-memory, 0) / float64(a.callers)
		asked := number(client, "renewed")
		begin, used := time.Now(), cpu()
		for first := renewed.Load(); renewed.Load() < first+int64(a.ops); {
			time.Sleep(100 * time.Millisecond)
		}
		used, wall := cpu()-used, time.Since(begin)
		asked = number(client, "renewed") - asked
		line = fmt.Sprintf("\"cpu_ns_per_op\":%.1f,\"wall_ns\":%d,\"memory_per_op\":%.1f,"+
			"\"acknowledged\":%d,\"per_second\":%.1f,\"streams\":%d",
			float64(used)/float64(asked), wall.Nanoseconds(), memory, asked,
			float64(asked)/wall.Seconds(), number(client, "renewing")-streams)
	case "flood":
		line = measured(func() []int64 { flood(client, a); return nil })
	}
	fmt.Printf("{\"work\":%q,\"size\":%d,\"callers\":%d,\"ops\":%d,%s}\n",
		a.work, a.size, a.callers, a.ops, line)
}
