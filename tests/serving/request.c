/* Sends one request to a SavedModel through TensorFlow's C API.

     request EXPORT SIGNATURE ROWS INPUT=FILE... to OUTPUT=FILE...

   Each input's file has its values, raw, row after row; each output's is
   written like that. INPUT:2x3=FILE gives the input's shape, which otherwise is
   the signature's, with ROWS in place of what it leaves open. Which tensors
   these are is read from the MetaGraphDef that comes with the SavedModel. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"

#define MAX_TENSORS 16
#define MAX_DIMS 8

static void fail(const char* what, const char* detail) {
  fprintf(stderr, "%s: %s\n", what, detail);
  exit(1);
}

static void check(const TF_Status* status, const char* what) {
  if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
}

/* Protocol buffers, as far as a MetaGraphDef needs them. */

typedef struct {
  const uint8_t* at;
  const uint8_t* end;
} Message;

typedef struct {
  uint64_t number; /* of the field */
  uint64_t value;  /* where it is a number */
  Message bytes;   /* where it is a string or a message */
} Field;

static uint64_t next_varint(Message* message) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && message->at < message->end; shift += 7) {
    const uint8_t byte = *message->at++;
    value |= (uint64_t)(byte & 127) << shift;
    if (byte < 128) return value;
  }
  fail("MetaGraphDef", "a number has no end");
  return 0;
}

/* Reads the next field; returns 0 at the message's end. */
static int next_field(Message* message, Field* field) {
  if (message->at == message->end) return 0;
  const uint64_t tag = next_varint(message);
  uint64_t size = 0;
  field->number = tag >> 3;
  switch (tag & 7) {
    case 0: field->value = next_varint(message); return 1;
    case 1: size = 8; break;
    case 2: size = next_varint(message); break;
    case 5: size = 4; break;
    default: fail("MetaGraphDef", "an unknown wire type");
  }
  if (size > (uint64_t)(message->end - message->at)) {
    fail("MetaGraphDef", "a field is longer than its message");
  }
  field->bytes.at = message->at;
  field->bytes.end = message->at += size;
  return 1;
}

static int equals(Message bytes, const char* text, size_t length) {
  return (size_t)(bytes.end - bytes.at) == length &&
         memcmp(bytes.at, text, length) == 0;
}

/* The value of `key` in a map field; the map's entries are {1: key, 2: value}.
   Returns 0 where there is none. */
static int find(Message message, uint64_t map, const char* key, size_t length,
                Message* value) {
  Field field, part;
  while (next_field(&message, &field)) {
    if (field.number != map) continue;
    int found = 0;
    while (next_field(&field.bytes, &part)) {
      if (part.number == 1) found = equals(part.bytes, key, length);
      if (part.number == 2) *value = part.bytes;
    }
    if (found) return 1;
  }
  return 0;
}

enum { SIGNATURE_DEF = 5 };           /* of MetaGraphDef */
enum { INPUTS = 1, OUTPUTS = 2 };     /* of SignatureDef */
enum { NAME = 1, DTYPE = 2, TENSOR_SHAPE = 3 };  /* of TensorInfo */
enum { DIM = 2 };                     /* of TensorShapeProto */
enum { SIZE = 1 };                    /* of its Dim */

typedef struct {
  char name[1024];
  TF_DataType dtype;
  int num_dims;
  int64_t dims[MAX_DIMS];
} TensorInfo;

static TensorInfo parse_tensor_info(Message message, int64_t rows) {
  TensorInfo info = {0};
  Field field, dim, size;
  while (next_field(&message, &field)) {
    if (field.number == NAME) {
      snprintf(info.name, sizeof(info.name), "%.*s",
               (int)(field.bytes.end - field.bytes.at), field.bytes.at);
    } else if (field.number == DTYPE) {
      info.dtype = (TF_DataType)field.value;
    } else if (field.number == TENSOR_SHAPE) {
      while (next_field(&field.bytes, &dim)) {
        if (dim.number != DIM) continue;
        if (info.num_dims == MAX_DIMS) fail(info.name, "too many dimensions");
        int64_t* value = &info.dims[info.num_dims++];
        *value = 0;
        while (next_field(&dim.bytes, &size)) {
          if (size.number == SIZE) *value = (int64_t)size.value;
        }
        if (*value < 0) *value = rows;
      }
    }
  }
  return info;
}

static TF_Output operation_output(TF_Graph* graph, const TensorInfo* info) {
  char name[sizeof(info->name)];
  strcpy(name, info->name);
  char* colon = strrchr(name, ':');
  TF_Output output = {NULL, 0};
  if (colon) {
    *colon = '\0';
    output.index = atoi(colon + 1);
  }
  output.oper = TF_GraphOperationByName(graph, name);
  if (!output.oper) fail("no operation in the graph", name);
  return output;
}

static void free_data(void* data, size_t size, void* unused) {
  (void)size;
  (void)unused;
  free(data);
}

static TF_Tensor* read_tensor(const char* path, const TensorInfo* info) {
  size_t size = TF_DataTypeSize(info->dtype);
  for (int i = 0; i < info->num_dims; ++i) size *= info->dims[i];
  void* data = malloc(size + 1);
  FILE* file = fopen(path, "rb");
  if (!file || fread(data, 1, size + 1, file) != size) {
    fail("the file is missing, or of another size than the tensor", path);
  }
  fclose(file);
  return TF_NewTensor(info->dtype, info->dims, info->num_dims, data, size,
                      free_data, NULL);
}

static void write_tensor(const char* path, const TF_Tensor* tensor) {
  const size_t size = TF_TensorByteSize(tensor);
  FILE* file = fopen(path, "wb");
  if (!file || fwrite(TF_TensorData(tensor), 1, size, file) != size) {
    fail("the file cannot be written", path);
  }
  fclose(file);
}

int main(int argc, char** argv) {
  if (argc < 7) {
    fail("usage",
         "request EXPORT SIGNATURE ROWS INPUT=FILE... to OUTPUT=FILE...");
  }
  TF_Status* status = TF_NewStatus();
  TF_SessionOptions* options = TF_NewSessionOptions();
  TF_Graph* graph = TF_NewGraph();
  TF_Buffer* meta_graph = TF_NewBuffer();
  const char* tags[] = {"serve"};
  TF_Session* session = TF_LoadSessionFromSavedModel(
      options, NULL, argv[1], tags, 1, graph, meta_graph, status);
  check(status, "load");

  Message signature, value;
  const uint8_t* data = meta_graph->data;
  const Message message = {data, data + meta_graph->length};
  if (!find(message, SIGNATURE_DEF, argv[2], strlen(argv[2]), &signature)) {
    fail("no such signature", argv[2]);
  }
  const int64_t rows = atoll(argv[3]);

  TF_Output inputs[MAX_TENSORS], outputs[MAX_TENSORS];
  TF_Tensor *input_values[MAX_TENSORS], *output_values[MAX_TENSORS];
  const char* output_paths[MAX_TENSORS];
  int num_inputs = 0, num_outputs = 0, is_output = 0;
  for (int i = 4; i < argc; ++i) {
    if (strcmp(argv[i], "to") == 0) {
      is_output = 1;
      continue;
    }
    const char* equal = strchr(argv[i], '=');
    if (!equal || i - 4 == MAX_TENSORS) fail("not NAME=FILE", argv[i]);
    const size_t length = strcspn(argv[i], ":=");
    if (!find(signature, is_output ? OUTPUTS : INPUTS, argv[i], length,
              &value)) {
      fail("the signature has none of this name", argv[i]);
    }
    if (!is_output) {
      TensorInfo info = parse_tensor_info(value, rows);
      if (argv[i][length] == ':') {
        char* size = argv[i] + length;
        for (info.num_dims = 0; *size != '=' && info.num_dims < MAX_DIMS;) {
          info.dims[info.num_dims++] = strtoll(size + 1, &size, 10);
        }
      }
      inputs[num_inputs] = operation_output(graph, &info);
      input_values[num_inputs++] = read_tensor(equal + 1, &info);
    } else {
      const TensorInfo info = parse_tensor_info(value, rows);
      outputs[num_outputs] = operation_output(graph, &info);
      output_paths[num_outputs++] = equal + 1;
    }
  }

  TF_SessionRun(session, NULL, inputs, input_values, num_inputs, outputs,
                output_values, num_outputs, NULL, 0, NULL, status);
  check(status, "run");
  for (int i = 0; i < num_inputs; ++i) TF_DeleteTensor(input_values[i]);
  for (int i = 0; i < num_outputs; ++i) {
    write_tensor(output_paths[i], output_values[i]);
    TF_DeleteTensor(output_values[i]);
  }
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteBuffer(meta_graph);
  TF_DeleteGraph(graph);
  TF_DeleteSessionOptions(options);
  TF_DeleteStatus(status);
  return 0;
}
