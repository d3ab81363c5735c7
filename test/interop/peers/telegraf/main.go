// Reads messages from stdin, one a line ("<format> <base64>"), with Telegraf's own parsers, and prints the metrics as JSON.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/logger"
	"github.com/influxdata/telegraf/plugins/parsers/influx"
	"github.com/influxdata/telegraf/plugins/parsers/json_v2"
)

type heard struct {
	Name   string            `json:"name"`
	Tags   map[string]string `json:"tags"`
	Fields map[string]string `json:"fields"`
	Ns     int64             `json:"ns"`
}

func jsonParser(values, timeKey string) (telegraf.Parser, error) {
	parser := &json_v2.Parser{
		Configs: []json_v2.Config{{
			MeasurementName: "millrace",
			TimestampPath:   "ts",
			TimestampFormat: "unix_ms",
			JSONObjects:     []json_v2.Object{{Path: values, Optional: true, TimestampKey: timeKey, TimestampFormat: "unix_ms"}},
		}},
		Log: logger.New("parsers", "json_v2", ""),
	}
	return parser, parser.Init()
}

func text(value interface{}) string {
	switch typed := value.(type) {
	case float64:
		return "float " + strconv.FormatFloat(typed, 'g', -1, 64)
	case int64:
		return "int " + strconv.FormatInt(typed, 10)
	case uint64:
		return "uint " + strconv.FormatUint(typed, 10)
	case bool:
		return "bool " + strconv.FormatBool(typed)
	case string:
		return "string " + typed
	default:
		return fmt.Sprintf("other %v", typed)
	}
}

func main() {
	lines := &influx.Parser{}
	if err := lines.Init(); err != nil {
		panic(err)
	}
	flat, err := jsonParser("@this", "ts")
	if err != nil {
		panic(err)
	}
	values, err := jsonParser("values", "")
	if err != nil {
		panic(err)
	}
	parsers := map[string]telegraf.Parser{"influx": lines, "flat": flat, "values": values}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		format, encoded, _ := strings.Cut(in.Text(), " ")
		body, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			panic(err)
		}
		metrics, err := parsers[format].Parse(body)
		if err != nil {
			fmt.Println("error " + strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		all := []heard{}
		for _, metric := range metrics {
			fields := map[string]string{}
			for name, value := range metric.Fields() {
				fields[name] = text(value)
			}
			all = append(all, heard{metric.Name(), metric.Tags(), fields, metric.Time().UnixNano()})
		}
		out, _ := json.Marshal(all)
		fmt.Println(string(out))
	}
}
