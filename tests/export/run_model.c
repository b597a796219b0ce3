/* Runs an exported model on an image file through TensorFlow's C API, without Python.

   run_model MODEL IMAGE INPUT OUTPUT:INDEX...

   INPUT and OUTPUT are names of operations in the signature. Prints the numbers of each output on one line. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

enum { MAX_OUTPUTS = 8 };

static void check(const TF_Status *status) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "error %d: %s\n", TF_GetCode(status), TF_Message(status));
  exit(1);
}

static TF_Output find(TF_Graph *graph, const char *name, int index) {
  TF_Output output = {TF_GraphOperationByName(graph, name), index};
  if (output.oper) return output;
  fprintf(stderr, "no operation %s\n", name);
  exit(1);
}

/* A batch of one string: the bytes of a file. */
static TF_Tensor *read_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) {
    perror(path);
    exit(1);
  }
  fseek(file, 0, SEEK_END);
  size_t size = (size_t)ftell(file);
  rewind(file);
  char *data = malloc(size);
  if (fread(data, 1, size, file) != size) exit(1);
  fclose(file);

  const int64_t shape[] = {1};
  TF_Tensor *tensor = TF_AllocateTensor(TF_STRING, shape, 1, sizeof(TF_TString));
  TF_TString *string = TF_TensorData(tensor);
  TF_StringInit(string);
  TF_StringCopy(string, data, size);
  free(data);
  return tensor;
}

int main(int argc, char **argv) {
  const int count = argc - 4;
  if (count < 1 || count > MAX_OUTPUTS) return 2;
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  const char *tags[] = {"serve"};
  TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1, graph, NULL, status);
  check(status);

  const TF_Output input = find(graph, argv[3], 0);
  TF_Tensor *image = read_file(argv[2]);
  TF_Output outputs[MAX_OUTPUTS];
  TF_Tensor *values[MAX_OUTPUTS] = {NULL};
  for (int i = 0; i < count; ++i) {
    char *colon = strrchr(argv[4 + i], ':');
    if (!colon) return 2;
    *colon = '\0';
    outputs[i] = find(graph, argv[4 + i], atoi(colon + 1));
  }
  TF_SessionRun(session, NULL, &input, &image, 1, outputs, values, count, NULL, 0, NULL, status);
  check(status);
  for (int i = 0; i < count; ++i) {
    const float *numbers = TF_TensorData(values[i]);
    for (int64_t k = 0; k < TF_TensorElementCount(values[i]); ++k) printf("%.9g ", numbers[k]);
    printf("\n");
    TF_DeleteTensor(values[i]);
  }
  TF_DeleteTensor(image);
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
